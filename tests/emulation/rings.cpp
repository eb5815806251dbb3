#include "tests/emulation/rings.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>

#include "tests/emulation/schedule.h"

namespace cuda_emulation {

std::size_t Ring::put(const char* from, std::size_t bytes) {
  const std::size_t count = std::min(bytes, room());
  const std::uint64_t at = put_.load();
  const std::size_t place = at % kBytes, first = std::min(count, kBytes - place);
  std::memcpy(bytes_ + place, from, first);
  std::memcpy(bytes_, from + first, count - first);
  put_.store(at + count);
  return count;
}

std::size_t Ring::take(char* to, std::size_t bytes) {
  const std::size_t count = std::min(bytes, filled());
  const std::uint64_t at = taken_.load();
  const std::size_t place = at % kBytes, first = std::min(count, kBytes - place);
  std::memcpy(to, bytes_ + place, first);
  std::memcpy(to + first, bytes_, count - first);
  taken_.store(at + count);
  return count;
}

std::string Rings::new_name() {
  static int count = 0;
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return "/emulated_nccl_" + std::to_string(getpid()) + "_" + std::to_string(now) + "_" + std::to_string(count++);
}

bool Rings::open(const char* name, int size, int rank, int device) {
  size_ = size, rank_ = rank;
  if (size > 256) fail("NCCL on more than 256 ranks is not emulated");
  mapped_ = sizeof(Start) + sizeof(Ring) * static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  const int file = shm_open(name, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, static_cast<off_t>(mapped_)) != 0) fail("no shared memory for NCCL");
  memory_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  if (memory_ == MAP_FAILED) fail("no shared memory for NCCL");
  start_ = static_cast<Start*>(memory_);
  rings_ = reinterpret_cast<Ring*>(start_ + 1);
  start_->devices[rank] = device + 1;
  ++start_->arrived;
  while (start_->arrived < size) usleep(100);
  if (rank == 0) shm_unlink(name);
  for (int r = 0; r < size; ++r)
    if (r != rank && start_->devices[r] == device + 1) return false;
  return true;
}

void Rings::close() {
  munmap(memory_, mapped_);
  memory_ = nullptr;
}

}  // namespace cuda_emulation
