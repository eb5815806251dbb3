// A group of ranks that can send, gather and agree. Size one is legal and does nothing.
//
// Implementations: MPI on memory of the host; NCCL on memory of GPUs (nccl_communicator.h); one that stages a device's
// tensors through the host's (staged_communicator.h); and a planned one that has any size but moves nothing (for
// --check). No operation here adds floating-point numbers: sums that can reach a weight are ordered_reduce's. Every
// call has a name, for time-outs and for the error that says where a rank was. Views must be dense.
//
// Memory of the host is there when a call returns, that of a device when the backend's own work gets there: what the
// backend is asked for afterwards sees it, and the host need not wait.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/view.h"

namespace coxswain {

// A transfer under way; finished when waited for or destroyed.
class Request {
 public:
  class State {
   public:
    virtual ~State() = default;  // finishes the transfer
    virtual bool ready() = 0;
    virtual void wait() = 0;
  };
  Request() = default;
  explicit Request(std::unique_ptr<State> state) : state_(std::move(state)) {}
  // Whether wait would return at once; asking lets the transfer get on.
  bool ready() { return !state_ || state_->ready(); }
  void wait() {
    if (state_) state_->wait();
    state_.reset();
  }

 private:
  std::unique_ptr<State> state_;
};

// One rank's side of an exchange: a tensor and the rank that it goes to or comes from.
struct Message {
  TensorView data;
  int rank = 0;
};

// The way of messages of one name from one rank to another.
struct Route {
  std::string name;
  int from = 0, to = 0;
  friend bool operator==(const Route&, const Route&) = default;
};

// Called around every blocking operation (name, true) and (name, false); for hang detection.
using CommunicationHook = std::function<void(const char* name, bool entering)>;

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual bool planned() const { return false; }  // moves nothing
  virtual std::string transport() const = 0;      // of tensors: "MPI", "NCCL", ...

  // Groups that are split off later take the hook over.
  virtual void set_hook(CommunicationHook hook) { hook_ = std::move(hook); }
  virtual const CommunicationHook& hook() const { return hook_; }
  // What an error message calls this rank: "tensor 1 of 2, pipeline 0 of 2, data 3 of 4". Empty until a grid sets it.
  virtual void set_coordinates(const std::string& coordinates) { coordinates_ = coordinates; }
  virtual const std::string& coordinates() const { return coordinates_; }

  // ---- tensors (memory of the backend)
  // Messages that two ranks send and receive when each of them likes. Data must live until waited for. Between two
  // ranks, messages of one name arrive in the order of sending; messages of different names do not wait for each other.
  // `name` must be the same on both sides, and the route opened before. open is collective, every rank giving the same
  // routes; those that are open stay so.
  virtual void open(const std::vector<Route>&) {}
  virtual Request send(TensorView data, int to, const char* name) = 0;
  virtual Request receive(TensorView data, int from, const char* name) = 0;
  // A receive for later: what arrives may lie in data from now on, beside all that the backend is asked for until it is
  // waited for. Until then it stands in the way of nothing, a wait for the whole device included, so that it may hang
  // on what is sent meanwhile.
  virtual Request expect(TensorView data, int from, const char* name) { return receive(data, from, name); }
  // Collective, as all that follows: every rank sends and receives what it says, and none waits for the order of
  // another one's. Between two ranks messages arrive in the order of sending. Data must live until waited for.
  virtual Request exchange(const std::vector<Message>& incoming, const std::vector<Message>& outgoing,
                           const char* name);
  // out [size, piece...]: rank r's piece becomes out[r]
  virtual void all_gather(TensorView piece, TensorView out, const char* name) = 0;
  // pieces along the first dimension of out, counts[r] rows from rank r; `piece` may be the own rows inside out
  virtual void all_gather_rows(TensorView piece, TensorView out, const std::vector<std::int64_t>& counts,
                               const char* name) = 0;
  // The same beside other work, in place: rank r's rows are inside of its `all`. They must live until waited for.
  virtual Request begin_all_gather_rows(TensorView all, const std::vector<std::int64_t>& counts, const char* name);
  // in [size, piece...], out [size, piece...]: in[r] goes to rank r, out[r] came from rank r
  virtual void all_to_all(TensorView in, TensorView out, const char* name) = 0;
  virtual void broadcast(TensorView data, int root, const char* name) = 0;

  // ---- host values
  virtual void barrier(const char* name) = 0;
  virtual std::int64_t all_max(std::int64_t value, const char* name) = 0;
  virtual std::int64_t all_min(std::int64_t value, const char* name) = 0;
  // Each element is non-zero on at most one rank, so the sum is exact and has no order.
  virtual void all_merge(std::vector<double>& values, const char* name) = 0;
  virtual std::string broadcast(const std::string& text, int root, const char* name) = 0;
  virtual std::vector<std::string> all_gather(const std::string& text, const char* name) = 0;

  // ---- groups: ranks with the same color, ordered by key. A planned group is cut by arithmetic: see process_grid.
  virtual std::unique_ptr<Communicator> split(int color, int key, const char* name) = 0;

 private:
  CommunicationHook hook_;
  std::string coordinates_;
};

std::unique_ptr<Communicator> make_planned_communicator(int rank, int size);

// Starts MPI, runs the body with the world, ends MPI. An Error found on every rank is printed once, to standard error,
// and all return its code; any other exception ends the job by MPI_Abort(code) after the rank, its place in the grid
// and its node were printed (see base/error.h). Otherwise returns the largest of the values that the ranks' bodies
// returned. Do nothing after it: mpirun ends the other ranks as soon as one returns a code other than 0.
int run_spmd(int argc, char** argv, const std::function<int(Communicator& world)>& body);

}  // namespace coxswain
