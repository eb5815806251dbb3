#include "parallel/nccl_communicator.h"

#include <cuda_runtime.h>
#include <nccl.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/runtime.h"
#include "parallel/communication_checks.h"
#include "parallel/mpi_support.h"
#include "parallel/nccl_channel.h"
#include "parallel/nccl_watch.h"
#include "tensor/tensor.h"

namespace coxswain {

namespace {

// The first result that is none of success.
void note(ncclResult_t& all, ncclResult_t one) {
  if (all == ncclSuccess) all = one;
}

std::string new_identity(const char* name) {
  ncclUniqueId identity;
  check_nccl(ncclGetUniqueId(&identity), "ncclGetUniqueId", name);
  return {identity.internal, sizeof identity.internal};
}

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Communicator& host, CudaBackend& backend, double hang_seconds)
      : host_(host),
        backend_(backend),
        owned_watch_(std::make_unique<NcclWatch>(
            backend.device(), hang_seconds,
            [this](const std::string& message) { abort_job(host_, message, ExitCode::hang); })),
        watch_(*owned_watch_) {}
  NcclCommunicator(std::unique_ptr<Communicator> host, CudaBackend& backend, NcclWatch& watch)
      : owned_host_(std::move(host)), host_(*owned_host_), backend_(backend), watch_(watch) {}

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  std::string transport() const override {
    int version = 0;
    ncclGetVersion(&version);
    return "NCCL " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100);
  }
  void set_hook(CommunicationHook hook) override { host_.set_hook(std::move(hook)); }
  const CommunicationHook& hook() const override { return host_.hook(); }
  void set_coordinates(const std::string& coordinates) override {
    const auto held = watch_.lock();  // it may read them
    host_.set_coordinates(coordinates);
  }
  const std::string& coordinates() const override { return host_.coordinates(); }

  void open(const std::vector<Route>& routes) override;
  Request send(TensorView data, int to, const char* name) override;
  Request receive(TensorView data, int from, const char* name) override;
  Request expect(TensorView data, int from, const char* name) override;
  Request exchange(const std::vector<Message>& incoming, const std::vector<Message>& outgoing,
                   const char* name) override;
  void all_gather(TensorView piece, TensorView out, const char* name) override;
  void all_gather_rows(TensorView piece, TensorView out, const std::vector<std::int64_t>& counts,
                       const char* name) override;
  Request begin_all_gather_rows(TensorView all, const std::vector<std::int64_t>& counts, const char* name) override;
  void all_to_all(TensorView in, TensorView out, const char* name) override;
  void broadcast(TensorView data, int root, const char* name) override;

  void barrier(const char* name) override { host_.barrier(name); }
  std::int64_t all_max(std::int64_t value, const char* name) override { return host_.all_max(value, name); }
  std::int64_t all_min(std::int64_t value, const char* name) override { return host_.all_min(value, name); }
  void all_merge(std::vector<double>& values, const char* name) override { host_.all_merge(values, name); }
  std::string broadcast(const std::string& text, int root, const char* name) override {
    return host_.broadcast(text, root, name);
  }
  std::vector<std::string> all_gather(const std::string& text, const char* name) override {
    return host_.all_gather(text, name);
  }
  std::unique_ptr<Communicator> split(int color, int key, const char* name) override {
    return std::make_unique<NcclCommunicator>(host_.split(color, key, name), backend_, watch_);
  }

 private:
  struct RowsOfRanks {
    const std::vector<std::int64_t>& counts;
    const checks::Rows& rows;
  };
  Request gather_rows(TensorView piece, TensorView out, const RowsOfRanks& of, const char* name);
  NcclChannel& group(const char* name);  // of all ranks; begins with the first operation
  NcclChannel& route(const Route& route);
  std::unique_ptr<NcclChannel> connect(const Route& route);

  std::unique_ptr<Communicator> owned_host_;  // of a group that was split off
  Communicator& host_;
  CudaBackend& backend_;
  std::unique_ptr<NcclWatch> owned_watch_;
  NcclWatch& watch_;
  std::unique_ptr<NcclChannel> group_;
  std::vector<Route> open_;                                             // on all ranks
  std::vector<std::pair<Route, std::unique_ptr<NcclChannel>>> routes_;  // that begin or end here
};

NcclChannel& NcclCommunicator::group(const char* name) {
  if (group_) return *group_;
  NcclChannel::Place place;
  place.rank = rank(), place.size = size();
  const std::string identity = host_.broadcast(rank() == 0 ? new_identity(name) : "", 0, name);
  std::memcpy(place.identity.internal, identity.data(), sizeof place.identity.internal);
  group_ = std::make_unique<NcclChannel>(watch_, backend_, place, name);
  return *group_;
}

NcclChannel& NcclCommunicator::route(const Route& route) {
  for (const auto& [known, channel] : routes_)
    if (known == route) return *channel;
  throw Error(ExitCode::internal, "communication '" + route.name + "' from rank " + std::to_string(route.from) +
                                      " to rank " + std::to_string(route.to) + ": the route was not opened");
}

void NcclCommunicator::open(const std::vector<Route>& routes) {
  for (const Route& route : routes) {
    if (std::find(open_.begin(), open_.end(), route) != open_.end()) continue;
    open_.push_back(route);
    if (auto channel = connect(route)) routes_.emplace_back(route, std::move(channel));
  }
}

// A channel on the two ranks of the route, after a first message: NCCL connects two ranks with it, for which each waits
// for the other. Later the two may come to their first message in an order in which that would last for ever.
std::unique_ptr<NcclChannel> NcclCommunicator::connect(const Route& route) {
  const char* const name = route.name.c_str();
  checks::require(route.from != route.to, name, "a route from a rank to itself");
  const bool sends = rank() == route.from;
  NcclChannel::Place place;
  const std::string identity = host_.broadcast(sends ? new_identity(name) : "", route.from, name);
  if (!sends && rank() != route.to) return nullptr;
  std::memcpy(place.identity.internal, identity.data(), sizeof place.identity.internal);
  place.rank = sends ? 0 : 1, place.size = 2;
  auto channel = std::make_unique<NcclChannel>(watch_, backend_, place, name);
  const Tensor greeting(backend_, DType::i32, {1});
  const TensorView data = greeting;
  if (sends) backend_.fill(data, 0);
  channel
      ->run(name,
            [&](ncclComm_t pair, cudaStream_t stream) {
              return sends ? ncclSend(data.data, data.bytes(), ncclUint8, 1, pair, stream)
                           : ncclRecv(data.data, data.bytes(), ncclUint8, 0, pair, stream);
            })
      .wait();
  return channel;
}

Request NcclCommunicator::send(TensorView data, int to, const char* name) {
  checks::require_dense(data, name);
  NcclChannel& channel = route({name, rank(), to});
  if (data.bytes() == 0) return Request();
  return channel.run(name, [&](ncclComm_t pair, cudaStream_t stream) {
    return ncclSend(data.data, data.bytes(), ncclUint8, 1, pair, stream);
  });
}

// On the receiving rank of a route.
NcclChannel::Operation receipt_of(const TensorView& data) {
  return [memory = data.data, bytes = data.bytes()](ncclComm_t pair, cudaStream_t stream) {
    return ncclRecv(memory, bytes, ncclUint8, 0, pair, stream);
  };
}

Request NcclCommunicator::receive(TensorView data, int from, const char* name) {
  checks::require_dense(data, name);
  NcclChannel& channel = route({name, from, rank()});
  if (data.bytes() == 0) return Request();
  return channel.run(name, receipt_of(data));
}

Request NcclCommunicator::expect(TensorView data, int from, const char* name) {
  checks::require_dense(data, name);
  NcclChannel& channel = route({name, from, rank()});
  if (data.bytes() == 0) return Request();
  return channel.run_when_awaited(name, receipt_of(data));
}

Request NcclCommunicator::exchange(const std::vector<Message>& incoming, const std::vector<Message>& outgoing,
                                   const char* name) {
  for (const auto* messages : {&incoming, &outgoing})
    for (const Message& message : *messages) {
      checks::require_dense(message.data, name);
      checks::require(message.rank != rank(), name, "a message from a rank to itself");
    }
  if (size() == 1) return Request();
  NcclChannel& channel = group(name);
  if (incoming.empty() && outgoing.empty()) return Request();
  return channel.run(name, [&](ncclComm_t all, cudaStream_t stream) {
    ncclResult_t result = ncclSuccess;
    for (const auto& [data, from] : incoming)
      if (data.bytes() > 0) note(result, ncclRecv(data.data, data.bytes(), ncclUint8, from, all, stream));
    for (const auto& [data, to] : outgoing)
      if (data.bytes() > 0) note(result, ncclSend(data.data, data.bytes(), ncclUint8, to, all, stream));
    return result;
  });
}

void NcclCommunicator::all_gather(TensorView piece, TensorView out, const char* name) {
  checks::all_gather(piece, out, size(), name);
  if (piece.elements() == 0) return;
  const bool there = checks::lies_at(piece, out, piece.bytes() * static_cast<std::size_t>(rank()), name);
  if (size() == 1) {
    if (!there) backend_.copy(piece.flat(), out.flat());
    return;
  }
  group(name)
      .run(name,
           [&](ncclComm_t all, cudaStream_t stream) {
             return ncclAllGather(piece.data, out.data, piece.bytes(), ncclUint8, all, stream);
           })
      .wait();
}

void NcclCommunicator::all_gather_rows(TensorView piece, TensorView out, const std::vector<std::int64_t>& counts,
                                       const char* name) {
  const checks::Rows rows = checks::all_gather_rows(piece, out, counts, size(), rank(), name);
  const std::size_t place = static_cast<std::size_t>(rows.starts[static_cast<std::size_t>(rank())]) * rows.bytes;
  const bool there = checks::lies_at(piece, out, place, name);
  if (out.elements() == 0) return;
  if (size() == 1) {
    if (!there) backend_.copy(piece.flat(), out.flat());
    return;
  }
  gather_rows(piece, out, {counts, rows}, name).wait();
}

Request NcclCommunicator::begin_all_gather_rows(TensorView all, const std::vector<std::int64_t>& counts,
                                                const char* name) {
  std::int64_t start = 0;
  for (int r = 0; r < rank(); ++r) start += counts[static_cast<std::size_t>(r)];
  const TensorView piece = all.slice(0, start, counts[static_cast<std::size_t>(rank())]);
  const checks::Rows rows = checks::all_gather_rows(piece, all, counts, size(), rank(), name);
  return size() == 1 || all.elements() == 0 ? Request() : gather_rows(piece, all, {counts, rows}, name);
}

// A gather, or where ranks have unlike numbers of rows a broadcast of each one's: NCCL makes them one operation.
Request NcclCommunicator::gather_rows(TensorView piece, TensorView out, const RowsOfRanks& of, const char* name) {
  const bool even = std::count(of.counts.begin(), of.counts.end(), of.counts[0]) == size();
  return group(name).run(name, [&](ncclComm_t all, cudaStream_t stream) {
    if (even) return ncclAllGather(piece.data, out.data, piece.bytes(), ncclUint8, all, stream);
    ncclResult_t result = ncclSuccess;
    for (std::size_t r = 0; r < of.counts.size(); ++r) {
      if (of.counts[r] == 0) continue;
      const std::size_t bytes = static_cast<std::size_t>(of.counts[r]) * of.rows.bytes;
      void* const place =
          static_cast<std::byte*>(out.data) + static_cast<std::size_t>(of.rows.starts[r]) * of.rows.bytes;
      const void* const from = static_cast<int>(r) == rank() ? piece.data : place;
      note(result, ncclBroadcast(from, place, bytes, ncclUint8, static_cast<int>(r), all, stream));
    }
    return result;
  });
}

void NcclCommunicator::all_to_all(TensorView in, TensorView out, const char* name) {
  checks::all_to_all(in, out, size(), name);
  if (in.elements() == 0) return;
  if (size() == 1) return backend_.copy(in.flat(), out.flat());
  const std::size_t bytes = in.bytes() / static_cast<std::size_t>(size());
  const auto piece = [bytes](const TensorView& of, int r) {
    return static_cast<std::byte*>(of.data) + static_cast<std::size_t>(r) * bytes;
  };
  group(name)
      .run(name,
           [&](ncclComm_t all, cudaStream_t stream) {
             ncclResult_t result = ncclSuccess;
             for (int r = 0; r < size(); ++r) {
               note(result, ncclRecv(piece(out, r), bytes, ncclUint8, r, all, stream));
               note(result, ncclSend(piece(in, r), bytes, ncclUint8, r, all, stream));
             }
             return result;
           })
      .wait();
}

void NcclCommunicator::broadcast(TensorView data, int root, const char* name) {
  checks::require_dense(data, name);
  if (size() == 1 || data.elements() == 0) return;
  group(name)
      .run(name,
           [&](ncclComm_t all, cudaStream_t stream) {
             return ncclBroadcast(data.data, data.data, data.bytes(), ncclUint8, root, all, stream);
           })
      .wait();
}

}  // namespace

bool nccl_is_built_in() { return true; }

std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Backend& backend, double hang_seconds) {
  return std::make_unique<NcclCommunicator>(host, dynamic_cast<CudaBackend&>(backend), hang_seconds);
}

}  // namespace coxswain
