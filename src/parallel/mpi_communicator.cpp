#include "parallel/mpi_communicator.h"

#include <cstring>
#include <exception>
#include <limits>

#include "parallel/communication_checks.h"
#include "parallel/mpi_support.h"

namespace coxswain {

namespace {

// Messages of different names do not match: a gradient never lands in a buffer for activations. MPI promises tags up to
// 32767; two names that share a tag only keep each other's order.
int tag_of(const char* name) {
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (const char* c = name; *c != '\0'; ++c) hash = (hash ^ static_cast<unsigned char>(*c)) * 16777619u;
  return static_cast<int>((hash ^ (hash >> 15)) & 0x7fffu);
}

// Tells the hook about a blocking call, the call's failure included.
class Blocking {
 public:
  Blocking(const CommunicationHook& hook, const char* name) : hook_(hook), name_(name) {
    if (hook_) hook_(name_, true);
  }
  Blocking(const Blocking&) = delete;
  Blocking& operator=(const Blocking&) = delete;
  ~Blocking() {
    if (hook_) hook_(name_, false);
  }

 private:
  const CommunicationHook& hook_;
  const char* name_;
};

class Transfer final : public Request::State {
 public:
  Transfer(const CommunicationHook& hook, const char* name, bool receives)
      : hook_(hook), name_(name), receives_(receives), exceptions_(std::uncaught_exceptions()) {}
  ~Transfer() override {
    if (request == MPI_REQUEST_NULL) return;
    // While an exception unwinds the stack, the other side may never come: let go instead of waiting for it.
    if (std::uncaught_exceptions() > exceptions_) {
      if (receives_) MPI_Cancel(&request);
      MPI_Request_free(&request);
    } else {
      MPI_Wait(&request, MPI_STATUS_IGNORE);
    }
  }
  bool ready() override {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test", name_.c_str());
    return done != 0;
  }
  void wait() override {
    if (request == MPI_REQUEST_NULL) return;
    const Blocking blocking(hook_, name_.c_str());
    check_mpi(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait", name_.c_str());
  }
  MPI_Request request = MPI_REQUEST_NULL;

 private:
  const CommunicationHook& hook_;
  std::string name_;  // outlives the caller's
  bool receives_;
  int exceptions_;
};

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm handle) : handle_(handle) {
  check_mpi(MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", "communicator");
  check_mpi(MPI_Comm_rank(handle_, &rank_), "MPI_Comm_rank", "communicator");
  check_mpi(MPI_Comm_size(handle_, &size_), "MPI_Comm_size", "communicator");
}

MpiCommunicator::~MpiCommunicator() {
  // Freeing is collective; a rank that unwinds an exception is alone.
  if (std::uncaught_exceptions() == 0) MPI_Comm_free(&handle_);
}

Request MpiCommunicator::send(TensorView data, int to, const char* name) {
  checks::require_dense(data, name);
  const MessageType message(data.bytes());
  auto transfer = std::make_unique<Transfer>(hook(), name, false);
  check_mpi(MPI_Isend(data.data, message.count(), message.type(), to, tag_of(name), handle_, &transfer->request),
            "MPI_Isend", name);
  return Request(std::move(transfer));
}

Request MpiCommunicator::receive(TensorView data, int from, const char* name) {
  checks::require_dense(data, name);
  const MessageType message(data.bytes());
  auto transfer = std::make_unique<Transfer>(hook(), name, true);
  check_mpi(MPI_Irecv(data.data, message.count(), message.type(), from, tag_of(name), handle_, &transfer->request),
            "MPI_Irecv", name);
  return Request(std::move(transfer));
}

void MpiCommunicator::all_gather(TensorView piece, TensorView out, const char* name) {
  checks::all_gather(piece, out, size_, name);
  if (piece.elements() == 0) return;
  const MessageType message(piece.bytes());
  const bool there = checks::lies_at(piece, out, piece.bytes() * static_cast<std::size_t>(rank_), name);
  const Blocking blocking(hook(), name);
  check_mpi(MPI_Allgather(there ? MPI_IN_PLACE : piece.data, message.count(), message.type(), out.data, message.count(),
                          message.type(), handle_),
            "MPI_Allgather", name);
}

void MpiCommunicator::all_gather_rows(TensorView piece, TensorView out, const std::vector<std::int64_t>& counts,
                                      const char* name) {
  const checks::Rows rows = checks::all_gather_rows(piece, out, counts, size_, rank_, name);
  if (out.elements() == 0) return;
  // Counts and places in bytes where an int holds them all, else in rows.
  const bool in_bytes = out.bytes() <= static_cast<std::size_t>(std::numeric_limits<int>::max());
  MPI_Datatype unit = MPI_BYTE;
  if (!in_bytes) {
    checks::require(rows.bytes <= static_cast<std::size_t>(std::numeric_limits<int>::max()), name, "rows above 2 GiB");
    check_mpi(MPI_Type_contiguous(static_cast<int>(rows.bytes), MPI_BYTE, &unit), "MPI_Type_contiguous", name);
    check_mpi(MPI_Type_commit(&unit), "MPI_Type_commit", name);
  }
  const std::int64_t units = in_bytes ? static_cast<std::int64_t>(rows.bytes) : 1;
  std::vector<int> lengths, places;
  for (std::size_t r = 0; r < counts.size(); ++r) {
    lengths.push_back(static_cast<int>(counts[r] * units));
    places.push_back(static_cast<int>(rows.starts[r] * units));
  }
  const auto me = static_cast<std::size_t>(rank_);
  const bool there = checks::lies_at(piece, out, static_cast<std::size_t>(rows.starts[me]) * rows.bytes, name);
  const Blocking blocking(hook(), name);
  const int status = MPI_Allgatherv(there ? MPI_IN_PLACE : piece.data, lengths[me], unit, out.data, lengths.data(),
                                    places.data(), unit, handle_);
  if (!in_bytes) MPI_Type_free(&unit);
  check_mpi(status, "MPI_Allgatherv", name);
}

void MpiCommunicator::all_to_all(TensorView in, TensorView out, const char* name) {
  checks::all_to_all(in, out, size_, name);
  const MessageType message(in.bytes() / static_cast<std::size_t>(size_));
  const Blocking blocking(hook(), name);
  check_mpi(MPI_Alltoall(in.data, message.count(), message.type(), out.data, message.count(), message.type(), handle_),
            "MPI_Alltoall", name);
}

void MpiCommunicator::broadcast(TensorView data, int root, const char* name) {
  checks::require_dense(data, name);
  const MessageType message(data.bytes());
  const Blocking blocking(hook(), name);
  check_mpi(MPI_Bcast(data.data, message.count(), message.type(), root, handle_), "MPI_Bcast", name);
}

void MpiCommunicator::barrier(const char* name) {
  const Blocking blocking(hook(), name);
  check_mpi(MPI_Barrier(handle_), "MPI_Barrier", name);
}

std::int64_t MpiCommunicator::all_max(std::int64_t value, const char* name) {
  const Blocking blocking(hook(), name);
  std::int64_t result = value;
  check_mpi(MPI_Allreduce(&value, &result, 1, MPI_INT64_T, MPI_MAX, handle_), "MPI_Allreduce", name);
  return result;
}

std::int64_t MpiCommunicator::all_min(std::int64_t value, const char* name) {
  const Blocking blocking(hook(), name);
  std::int64_t result = value;
  check_mpi(MPI_Allreduce(&value, &result, 1, MPI_INT64_T, MPI_MIN, handle_), "MPI_Allreduce", name);
  return result;
}

void MpiCommunicator::all_merge(std::vector<double>& values, const char* name) {
  const Blocking blocking(hook(), name);
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE, MPI_SUM, handle_),
            "MPI_Allreduce", name);
  for (double& value : values) value += 0.0;  // -0 becomes +0 on one rank, as it does where others add their zeros
}

std::string MpiCommunicator::broadcast(const std::string& text, int root, const char* name) {
  const Blocking blocking(hook(), name);
  auto bytes = static_cast<std::uint64_t>(text.size());
  check_mpi(MPI_Bcast(&bytes, 1, MPI_UINT64_T, root, handle_), "MPI_Bcast", name);
  std::string result = rank_ == root ? text : std::string(bytes, '\0');
  const MessageType message(bytes);
  check_mpi(MPI_Bcast(result.data(), message.count(), message.type(), root, handle_), "MPI_Bcast", name);
  return result;
}

std::vector<std::string> MpiCommunicator::all_gather(const std::string& text, const char* name) {
  const Blocking blocking(hook(), name);
  const auto own = static_cast<std::int64_t>(text.size());
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(size_));
  check_mpi(MPI_Allgather(&own, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, handle_), "MPI_Allgather", name);
  std::vector<int> lengths, places;
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) {
    checks::require(size <= std::numeric_limits<int>::max() - total, name, "texts above 2 GiB");
    places.push_back(static_cast<int>(total));
    lengths.push_back(static_cast<int>(size));
    total += size;
  }
  std::string all(static_cast<std::size_t>(total), '\0');
  check_mpi(MPI_Allgatherv(text.data(), lengths[static_cast<std::size_t>(rank_)], MPI_CHAR, all.data(), lengths.data(),
                           places.data(), MPI_CHAR, handle_),
            "MPI_Allgatherv", name);
  std::vector<std::string> texts;
  for (std::size_t r = 0; r < lengths.size(); ++r)
    texts.push_back(all.substr(static_cast<std::size_t>(places[r]), static_cast<std::size_t>(lengths[r])));
  return texts;
}

std::unique_ptr<Communicator> MpiCommunicator::split(int color, int key, const char* name) {
  const Blocking blocking(hook(), name);
  MPI_Comm part = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(handle_, color, key, &part), "MPI_Comm_split", name);
  auto group = std::make_unique<MpiCommunicator>(part);
  group->set_hook(hook());
  group->set_coordinates(coordinates());
  return group;
}

}  // namespace coxswain
