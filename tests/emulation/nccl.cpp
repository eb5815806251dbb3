// NCCL on the emulated GPU: operations of streams that move bytes between processes of this machine, through rings of
// shared memory.
//
// An operation is tried when its stream gets there, and again until all its pieces have moved; what it receives into is
// made no number first, and a piece may move in parts while other streams go on, so that memory that is read too early
// or used again too soon shows. A send ends when it has been received, or for some seeds as soon as it has left: NCCL
// promises neither. Memory that is not the device's, and pieces that do not fit each other, are faults.
//
// COXSWAIN_EMULATED_NCCL: "hang:N" (this process's Nth operation never ends), "error:N" (nor does it, and the
// communicator sees an error of another rank), "no-start" (no communicator can be made).
#include <nccl.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/emulation/device_memory.h"
#include "tests/emulation/rings.h"
#include "tests/emulation/schedule.h"
#include "tests/emulation/streams.h"

struct ncclComm {
  cuda_emulation::Rings rings;
  ncclResult_t error = ncclSuccess;
  int under_way = 0;
  bool aborted = false;
};

namespace cuda_emulation {
namespace {

// What one end of a ring is asked for.
struct Piece {
  const char* call;  // the same at both ends
  bool sends;
  int peer;
  char* data;
  std::size_t bytes;
  bool begun = false;
  std::size_t moved = 0;
};
struct Header {
  char call[16];
  std::uint64_t bytes;
};

// "hang" or "error", and the operation that it is for.
struct Planned {
  std::string kind;
  long number = 0;
};
const Planned& planned() {
  static const Planned only = [] {
    const char* setting = std::getenv("COXSWAIN_EMULATED_NCCL");
    const std::string text = setting ? setting : "";
    const std::size_t colon = text.find(':');
    return Planned{text.substr(0, colon), colon == std::string::npos ? 0 : std::atol(text.c_str() + colon + 1)};
  }();
  return only;
}

std::string describe(const char* call, bool sends, std::uint64_t bytes, int peer) {
  return std::string(call) + " of " + std::to_string(bytes) + " bytes " + (sends ? "to" : "from") + " rank " +
         std::to_string(peer);
}

class Operation {
 public:
  Operation(ncclComm& communicator, std::vector<Piece> pieces)
      : communicator_(&communicator), pieces_(std::move(pieces)), waits_for_receivers_(order()() % 2 == 0) {
    static long count = 0;
    if (++count == planned().number) {
      never_ends_ = true;
      if (planned().kind == "error") communicator.error = ncclRemoteError;
    }
    ++communicator.under_way;
  }
  // Moves what can be moved; true when all has.
  bool attempt() {
    if (communicator_->aborted) return true;
    if (never_ends_) return false;
    std::map<std::pair<bool, int>, bool> blocked;  // a ring's pieces keep their order
    bool all = true;
    for (Piece& piece : pieces_) {
      bool& behind = blocked[{piece.sends, piece.peer}];
      if (!behind) behind = !move(piece);
      all = all && !behind;
    }
    if (waits_for_receivers_ && all)
      for (const Piece& piece : pieces_) all = all && (!piece.sends || communicator_->rings.to(piece.peer).empty());
    if (all) --communicator_->under_way;
    return all;
  }

 private:
  bool move(Piece& piece) {
    if (piece.begun && piece.moved == piece.bytes) return true;
    Ring& ring = piece.sends ? communicator_->rings.to(piece.peer) : communicator_->rings.from(piece.peer);
    if (!piece.begun && !begin(piece, ring)) return false;
    const std::size_t most = order()() % 4 == 0 ? 1 + order()() % 64 : piece.bytes;  // at times a part
    const std::size_t wanted = std::min(piece.bytes - piece.moved, most);
    piece.moved +=
        piece.sends ? ring.put(piece.data + piece.moved, wanted) : ring.take(piece.data + piece.moved, wanted);
    return piece.moved == piece.bytes;
  }
  static bool begin(Piece& piece, Ring& ring) {
    if (!holds(piece.data, piece.bytes))
      fail(describe(piece.call, piece.sends, piece.bytes, piece.peer) + " and memory that was freed meanwhile");
    Header header = {};
    if (piece.sends) {
      std::strncpy(header.call, piece.call, sizeof header.call - 1);
      header.bytes = piece.bytes;
      if (ring.room() < sizeof header) return false;
      ring.put(reinterpret_cast<const char*>(&header), sizeof header);
    } else {
      std::memset(piece.data, poison(), piece.bytes);
      if (ring.filled() < sizeof header) return false;
      ring.take(reinterpret_cast<char*>(&header), sizeof header);
      if (header.bytes != piece.bytes || std::strcmp(header.call, piece.call) != 0)
        fail(describe(piece.call, false, piece.bytes, piece.peer) + " meets a " + header.call + " of " +
             std::to_string(header.bytes) + " bytes");
    }
    piece.begun = true;
    return true;
  }

  ncclComm* communicator_;
  std::vector<Piece> pieces_;
  bool waits_for_receivers_, never_ends_ = false;
};

// Calls between ncclGroupStart and ncclGroupEnd: one operation for each communicator.
struct Group {
  int depth = 0;
  std::list<std::pair<std::pair<ncclComm*, cudaStream_t>, std::vector<Piece>>> operations;

  void add(ncclComm* communicator, cudaStream_t stream, const Piece& piece) {
    const std::pair key(communicator, stream);
    auto found =
        std::find_if(operations.begin(), operations.end(), [&](const auto& known) { return known.first == key; });
    if (found == operations.end()) found = operations.insert(operations.end(), {key, {}});
    found->second.push_back(piece);
  }
  void start() {
    for (auto& [key, pieces] : operations) {
      auto operation = std::make_shared<Operation>(*key.first, std::move(pieces));
      enqueue_until_done(key.second, [operation] { return operation->attempt(); });
    }
    operations.clear();
  }
};
Group& group() {
  static Group only;
  return only;
}

void require_device(const void* memory, std::size_t bytes, const std::string& what) {
  if (!holds(memory, bytes)) fail(what + " is not inside one allocation of the device");
}

ncclResult_t add(ncclComm* communicator, cudaStream_t stream, const std::vector<Piece>& pieces) {
  if (communicator == nullptr || communicator->aborted) fail("NCCL with a communicator that was ended");
  ncclGroupStart();
  for (const Piece& piece : pieces) {
    if (piece.peer < 0 || piece.peer >= communicator->rings.size()) {
      ncclGroupEnd();
      return ncclInvalidArgument;
    }
    require_device(piece.data, piece.bytes, describe(piece.call, piece.sends, piece.bytes, piece.peer));
    group().add(communicator, stream, piece);
  }
  return ncclGroupEnd();
}

// The number of this process's GPU on its node: a launcher may show each process one of its own.
int gpu(int rank) {
  if (std::getenv("SLURM_GPUS_PER_TASK") != nullptr) return rank;
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr) return current_device();
  std::string rest = visible;
  for (int left = current_device(); left > 0; --left) rest = rest.substr(std::min(rest.find(','), rest.size() - 1) + 1);
  return std::atoi(rest.c_str());
}

char* bytes_of(const void* memory) { return static_cast<char*>(const_cast<void*>(memory)); }

}  // namespace
}  // namespace cuda_emulation

using namespace cuda_emulation;

const char* ncclGetErrorString(ncclResult_t result) {
  constexpr const char* kTexts[] = {"no error",
                                    "unhandled cuda error",
                                    "unhandled system error",
                                    "internal error",
                                    "invalid argument",
                                    "invalid usage",
                                    "remote process exited or there was a network error",
                                    "NCCL operation in progress"};
  return kTexts[result];
}

const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGetVersion(int* version) {
  *version = 22800;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* identity) {
  const std::string name = Rings::new_name();
  std::memset(identity->internal, 0, sizeof identity->internal);
  std::memcpy(identity->internal, name.data(), name.size());
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t* communicator, int size, ncclUniqueId identity, int rank) {
  if (planned().kind == "no-start") return ncclSystemError;
  if (size < 1 || rank < 0 || rank >= size) return ncclInvalidArgument;
  auto made = std::make_unique<ncclComm>();
  if (!made->rings.open(identity.internal, size, rank, gpu(rank))) return ncclInvalidUsage;  // two ranks on a GPU
  *communicator = made.release();
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t communicator) {
  const auto lock = lock_device();
  if (communicator->under_way > 0 && !communicator->aborted) fail("ncclCommDestroy while an operation is under way");
  communicator->aborted = true;  // kept: a name that is used too late is a fault
  communicator->rings.close();
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t communicator) {
  const auto lock = lock_device();
  communicator->aborted = true;
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t communicator, ncclResult_t* error) {
  const auto lock = lock_device();
  *error = communicator->error;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++group().depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group().depth == 0) fail("ncclGroupEnd without ncclGroupStart");
  if (--group().depth > 0) return ncclSuccess;
  const auto lock = lock_device();
  group().start();
  return ncclSuccess;
}

ncclResult_t ncclSend(const void* from, std::size_t count, ncclDataType_t, int peer, ncclComm_t communicator,
                      cudaStream_t stream) {
  const auto lock = lock_device();
  return add(communicator, stream, {{"ncclSend", true, peer, bytes_of(from), count}});
}

ncclResult_t ncclRecv(void* to, std::size_t count, ncclDataType_t, int peer, ncclComm_t communicator,
                      cudaStream_t stream) {
  const auto lock = lock_device();
  return add(communicator, stream, {{"ncclSend", false, peer, bytes_of(to), count}});
}

ncclResult_t ncclAllGather(const void* from, void* to, std::size_t count, ncclDataType_t, ncclComm_t communicator,
                           cudaStream_t stream) {
  const auto lock = lock_device();
  std::vector<Piece> pieces;
  const int rank = communicator->rings.rank();
  for (int peer = 0; peer < communicator->rings.size(); ++peer) {
    char* const place = bytes_of(to) + static_cast<std::size_t>(peer) * count;
    if (peer == rank && place == from) continue;
    pieces.push_back({"ncclAllGather", true, peer, bytes_of(from), count});
    pieces.push_back({"ncclAllGather", false, peer, place, count});
  }
  return add(communicator, stream, pieces);
}

ncclResult_t ncclBroadcast(const void* from, void* to, std::size_t count, ncclDataType_t, int root,
                           ncclComm_t communicator, cudaStream_t stream) {
  const auto lock = lock_device();
  std::vector<Piece> pieces;
  const int rank = communicator->rings.rank();
  for (int peer = 0; rank == root && peer < communicator->rings.size(); ++peer)
    if (peer != root || from != to) pieces.push_back({"ncclBroadcast", true, peer, bytes_of(from), count});
  if (rank != root || from != to) pieces.push_back({"ncclBroadcast", false, root, bytes_of(to), count});
  return add(communicator, stream, pieces);
}
