// A group of ranks that can send, gather and agree. Size one is legal and does nothing.
//
// Two implementations: MPI, and a planned one that has any size but moves nothing (for --check). NCCL will be a third.
// No operation here adds floating-point numbers: sums that can reach a weight are ordered_reduce's.
// Every call has a name, for time-outs and for the error that says where a rank was. Views must be dense.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/view.h"

namespace coxswain {

// A transfer under way; finished when waited for or destroyed.
class Request {
 public:
  class State;
  Request();
  explicit Request(std::unique_ptr<State> state);
  Request(Request&&) noexcept;
  Request& operator=(Request&&) noexcept;
  ~Request();
  void wait();

 private:
  std::unique_ptr<State> state_;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual bool planned() const { return false; }   // moves nothing

  // ---- tensors (memory of the backend)
  virtual Request send(TensorView data, int to, const char* name) = 0;       // data must live until waited for
  virtual Request receive(TensorView data, int from, const char* name) = 0;
  // out [size, piece...]: rank r's piece becomes out[r]
  virtual void all_gather(TensorView piece, TensorView out, const char* name) = 0;
  // pieces along the first dimension of out, counts[r] rows from rank r; `piece` may be the own rows inside out
  virtual void all_gather_rows(TensorView piece, TensorView out, const std::vector<std::int64_t>& counts,
                               const char* name) = 0;
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
};

std::unique_ptr<Communicator> make_planned_communicator(int rank, int size);

// Called around every blocking operation (name, true) and (name, false); for hang detection.
using CommunicationHook = std::function<void(const char* name, bool entering)>;

// Starts MPI, runs the body with the world, ends MPI. An Error that every rank throws is printed once and its code
// returned; one that a single rank throws ends the job by MPI_Abort(code) after its rank and node were printed.
int run_spmd(int argc, char** argv, const std::function<int(Communicator& world)>& body);

}  // namespace coxswain
