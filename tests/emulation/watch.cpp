// Watches every load and store of kernels that are compiled with -fsanitize=kernel-address: GCC then calls the
// functions below before each access, and what they do is ours. Reported are
// * reads of shared memory that nobody in the block has written,
// * two warps at one place of shared memory, one of which writes, without a barrier between them, in whatever order,
// * accesses of 2, 4, 8 or 16 bytes at an address that is no multiple of that.
#include <cstdint>
#include <string>

#include "tests/emulation/device_memory.h"
#include "tests/emulation/schedule.h"
#include "tests/emulation/shared_memory.h"

namespace cuda_emulation {
namespace {

constexpr int kWarpThreads = 32;

bool same_warp(std::uint32_t a, std::uint32_t b) { return a / kWarpThreads == b / kWarpThreads; }

[[noreturn]] void report(const std::string& what, std::uint64_t address, std::size_t bytes) {
  fail(what + ": " + std::to_string(bytes) + " bytes" + place_in_shared_memory(reinterpret_cast<const char*>(address)));
}

void require_aligned(std::uint64_t address, std::size_t bytes) {
  if (address % bytes != 0 && (shared_marks(address) || is_device_address(reinterpret_cast<const void*>(address))))
    report("misaligned access", address, bytes);
}

void on_load(std::uint64_t address, std::size_t bytes) {
  SharedMark* const marks = shared_marks(address);
  if (marks == nullptr || !runs_a_thread()) return;
  const SharedTime now = shared_time();
  for (std::size_t i = 0; i < bytes; ++i) {
    SharedMark& mark = marks[i];
    if (mark.block != now.block) report("a read of shared memory that nobody has written", address, bytes);
    if (mark.write_epoch == now.epoch && !same_warp(mark.writer, now.thread))
      report("a read of what thread " + std::to_string(mark.writer) + " of the block writes without a barrier between",
             address, bytes);
    mark.read_epoch = now.epoch, mark.reader = now.thread;
  }
}

void on_store(std::uint64_t address, std::size_t bytes) {
  SharedMark* const marks = shared_marks(address);
  if (marks == nullptr || !runs_a_thread()) return;
  const SharedTime now = shared_time();
  for (std::size_t i = 0; i < bytes; ++i) {
    SharedMark& mark = marks[i];
    if (mark.block == now.block) {
      if (mark.write_epoch == now.epoch && !same_warp(mark.writer, now.thread))
        report("a write where thread " + std::to_string(mark.writer) + " of the block writes without a barrier between",
               address, bytes);
      if (mark.read_epoch == now.epoch && !same_warp(mark.reader, now.thread))
        report(
            "a write of what thread " + std::to_string(mark.reader) + " of the block reads without a barrier between",
            address, bytes);
    } else {
      mark.read_epoch = 0;
    }
    mark.block = now.block, mark.write_epoch = now.epoch, mark.writer = now.thread;
  }
}

}  // namespace
}  // namespace cuda_emulation

#define COXSWAIN_WATCH(bytes)                                       \
  void __asan_load##bytes##_noabort(std::uint64_t address) {        \
    if (bytes > 1) cuda_emulation::require_aligned(address, bytes); \
    cuda_emulation::on_load(address, bytes);                        \
  }                                                                 \
  void __asan_store##bytes##_noabort(std::uint64_t address) {       \
    if (bytes > 1) cuda_emulation::require_aligned(address, bytes); \
    cuda_emulation::on_store(address, bytes);                       \
  }

extern "C" {
COXSWAIN_WATCH(1)
COXSWAIN_WATCH(2)
COXSWAIN_WATCH(4)
COXSWAIN_WATCH(8)
COXSWAIN_WATCH(16)
void __asan_loadN_noabort(std::uint64_t address, std::size_t bytes) { cuda_emulation::on_load(address, bytes); }
void __asan_storeN_noabort(std::uint64_t address, std::size_t bytes) { cuda_emulation::on_store(address, bytes); }
void __asan_handle_no_return() {}
void __asan_before_dynamic_init(const char*) {}
void __asan_after_dynamic_init() {}
}
