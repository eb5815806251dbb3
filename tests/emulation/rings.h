// Shared memory between the processes of a communicator: from every rank to every rank one ring of bytes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

namespace cuda_emulation {

// One process puts bytes in, another one takes them out.
class Ring {
 public:
  std::size_t filled() const { return static_cast<std::size_t>(put_.load() - taken_.load()); }
  std::size_t room() const { return kBytes - filled(); }
  bool empty() const { return filled() == 0; }
  // As many as there is room or are there; returns how many.
  std::size_t put(const char* from, std::size_t bytes);
  std::size_t take(char* to, std::size_t bytes);

 private:
  static constexpr std::size_t kBytes = std::size_t{1} << 14;
  std::atomic<std::uint64_t> put_, taken_;  // zero at first, as all shared memory
  char bytes_[kBytes];
};

class Rings {
 public:
  static std::string new_name();  // which no other communicator has
  // Waits for the other ranks. False if two of them have one device.
  bool open(const char* name, int size, int rank, int device);
  void close();

  int size() const { return size_; }
  int rank() const { return rank_; }
  Ring& to(int peer) { return ring(rank_, peer); }
  Ring& from(int peer) { return ring(peer, rank_); }

 private:
  struct Start {
    std::atomic<int> arrived;
    std::atomic<int> devices[256];  // number + 1
  };
  Ring& ring(int from, int to) { return rings_[from * size_ + to]; }

  int size_ = 0, rank_ = 0;
  std::size_t mapped_ = 0;
  void* memory_ = nullptr;
  Start* start_ = nullptr;
  Ring* rings_ = nullptr;
};

}  // namespace cuda_emulation
