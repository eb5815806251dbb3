#include "parallel/mpi_communicator.h"

#include <cstring>
#include <exception>
#include <functional>
#include <limits>

#include "base/error.h"
#include "parallel/mpi_support.h"

namespace coxswain {

namespace {

void require(bool holds, const char* name, const std::string& message) {
  if (!holds) throw Error(ExitCode::internal, "communication '" + std::string(name) + "': " + message);
}

void require_dense(const TensorView& view, const char* name) {
  require(view.is_dense(), name, "the view " + view.shape.str() + " is not dense");
}

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
  void wait() override {
    if (request == MPI_REQUEST_NULL) return;
    const Blocking blocking(hook_, name_);
    check_mpi(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait", name_);
  }
  MPI_Request request = MPI_REQUEST_NULL;

 private:
  const CommunicationHook& hook_;
  const char* name_;
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
  require_dense(data, name);
  const MessageType message(data.bytes());
  auto transfer = std::make_unique<Transfer>(hook(), name, false);
  check_mpi(MPI_Isend(data.data, message.count(), message.type(), to, tag_of(name), handle_, &transfer->request),
            "MPI_Isend", name);
  return Request(std::move(transfer));
}

Request MpiCommunicator::receive(TensorView data, int from, const char* name) {
  require_dense(data, name);
  const MessageType message(data.bytes());
  auto transfer = std::make_unique<Transfer>(hook(), name, true);
  check_mpi(MPI_Irecv(data.data, message.count(), message.type(), from, tag_of(name), handle_, &transfer->request),
            "MPI_Irecv", name);
  return Request(std::move(transfer));
}

void* MpiCommunicator::own_piece(const TensorView& piece, const TensorView& out, std::size_t place,
                                 const char* name) const {
  char* const start = static_cast<char*>(out.data);
  char* const own = static_cast<char*>(piece.data);
  if (own == start + place || piece.elements() == 0) return MPI_IN_PLACE;
  const std::less<> before;
  require(!before(own, start + out.bytes()) || !before(start, own + piece.bytes()), name,
          "the piece overlaps the result, but not in its own place");
  return own;
}

void MpiCommunicator::all_gather(TensorView piece, TensorView out, const char* name) {
  require_dense(piece, name);
  require_dense(out, name);
  require(out.bytes() == piece.bytes() * static_cast<std::size_t>(size_), name,
          "pieces " + piece.shape.str() + " of " + std::to_string(size_) + " ranks do not fill " + out.shape.str());
  if (piece.elements() == 0) return;
  const MessageType message(piece.bytes());
  void* const own = own_piece(piece, out, piece.bytes() * static_cast<std::size_t>(rank_), name);
  const Blocking blocking(hook(), name);
  check_mpi(MPI_Allgather(own, message.count(), message.type(), out.data, message.count(), message.type(), handle_),
            "MPI_Allgather", name);
}

void MpiCommunicator::all_gather_rows(TensorView piece, TensorView out, const std::vector<std::int64_t>& counts,
                                      const char* name) {
  require_dense(piece, name);
  require_dense(out, name);
  require(out.rank() > 0 && counts.size() == static_cast<std::size_t>(size_), name, "one count a rank is needed");
  const std::size_t row_bytes = static_cast<std::size_t>(out.shape.without_first().elements()) * size_of(out.dtype);
  if (out.elements() == 0) return;
  // Counts and places in bytes where an int holds them all, else in rows.
  const bool in_bytes = out.bytes() <= static_cast<std::size_t>(std::numeric_limits<int>::max());
  MPI_Datatype unit = MPI_BYTE;
  if (!in_bytes) {
    require(row_bytes <= static_cast<std::size_t>(std::numeric_limits<int>::max()), name, "rows above 2 GiB");
    check_mpi(MPI_Type_contiguous(static_cast<int>(row_bytes), MPI_BYTE, &unit), "MPI_Type_contiguous", name);
    check_mpi(MPI_Type_commit(&unit), "MPI_Type_commit", name);
  }
  const std::int64_t units = in_bytes ? static_cast<std::int64_t>(row_bytes) : 1;
  std::vector<int> lengths, places;
  std::int64_t row = 0;
  std::size_t own_place = 0;
  for (const std::int64_t count : counts) {
    if (lengths.size() == static_cast<std::size_t>(rank_)) own_place = static_cast<std::size_t>(row) * row_bytes;
    lengths.push_back(static_cast<int>(count * units));
    places.push_back(static_cast<int>(row * units));
    row += count;
  }
  const auto me = static_cast<std::size_t>(rank_);
  require(row == out.shape[0], name, "the counts add up to " + std::to_string(row) + " rows of " + out.shape.str());
  require(piece.bytes() == static_cast<std::size_t>(counts[me]) * row_bytes, name,
          "the piece " + piece.shape.str() + " does not hold " + std::to_string(counts[me]) + " rows");
  void* const own = own_piece(piece, out, own_place, name);
  const Blocking blocking(hook(), name);
  const int status = MPI_Allgatherv(own, lengths[me], unit, out.data, lengths.data(), places.data(), unit, handle_);
  if (!in_bytes) MPI_Type_free(&unit);
  check_mpi(status, "MPI_Allgatherv", name);
}

void MpiCommunicator::all_to_all(TensorView in, TensorView out, const char* name) {
  require_dense(in, name);
  require_dense(out, name);
  require(in.bytes() == out.bytes() && in.bytes() % static_cast<std::size_t>(size_) == 0 && in.data != out.data, name,
          in.shape.str() + " and " + out.shape.str() + " must be equal, apart, and divide by the ranks");
  const MessageType message(in.bytes() / static_cast<std::size_t>(size_));
  const Blocking blocking(hook(), name);
  check_mpi(MPI_Alltoall(in.data, message.count(), message.type(), out.data, message.count(), message.type(), handle_),
            "MPI_Alltoall", name);
}

void MpiCommunicator::broadcast(TensorView data, int root, const char* name) {
  require_dense(data, name);
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
  const int own = static_cast<int>(text.size());
  std::vector<int> lengths(static_cast<std::size_t>(size_)), places;
  check_mpi(MPI_Allgather(&own, 1, MPI_INT, lengths.data(), 1, MPI_INT, handle_), "MPI_Allgather", name);
  std::int64_t total = 0;
  for (const int length : lengths) {
    places.push_back(static_cast<int>(total));
    total += length;
    require(total <= std::numeric_limits<int>::max(), name, "texts above 2 GiB");
  }
  std::string all(static_cast<std::size_t>(total), '\0');
  check_mpi(MPI_Allgatherv(text.data(), own, MPI_CHAR, all.data(), lengths.data(), places.data(), MPI_CHAR, handle_),
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
