// A piece ends where a closed page begins, so that the first byte beyond its end is a fault; faults in the device's
// part of the address space or in a kernel are reported with allocation, kernel, block and thread.
#include "tests/emulation/device_memory.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "tests/emulation/schedule.h"

namespace cuda_emulation {
namespace {

constexpr std::size_t kPage = 4096, kAlignment = 64, kSpace = std::size_t{1} << 42;

struct Piece {
  std::size_t bytes = 0, mapped = 0;
  char* pages = nullptr;
};

struct Memory {
  char* start = nullptr;
  std::size_t used = 0;                 // of the address space
  std::size_t in_use = 0;               // bytes of live pieces
  int open = 0;                         // lives of OpenMemory
  std::map<const char*, Piece> pieces;  // by address
};

std::string describe(const Memory& memory, const char* address) {
  auto next = memory.pieces.upper_bound(address);
  std::string text = "no live allocation near";
  if (next != memory.pieces.begin()) {
    const auto& [start, piece] = *std::prev(next);
    const auto offset = static_cast<long long>(address - start);
    text = "byte " + std::to_string(offset) + " of an allocation of " + std::to_string(piece.bytes) + " bytes";
    if (next != memory.pieces.end() && next->first - address < address - start)
      text += ", " + std::to_string(next->first - address) + " bytes before one of " +
              std::to_string(next->second.bytes) + " bytes";
  }
  return text;
}

Memory& memory();

void on_fault(int signal, siginfo_t* info, void*) {
  const auto* address = static_cast<const char*>(info->si_addr);
  if (is_device_address(address)) {
    const std::string where = describe(memory(), address);
    fail(place_in_kernel().empty() ? "the host touches device memory: " + where : "access out of bounds: " + where);
  }
  if (!place_in_kernel().empty()) fail("access out of bounds: memory that is not the device's, or shared memory");
  ::signal(signal, SIG_DFL);  // not ours: the instruction runs again and ends the process
}

void catch_faults() {
  static std::vector<char> stack(std::size_t{1} << 17);
  stack_t alternate = {};
  alternate.ss_sp = stack.data();
  alternate.ss_size = stack.size();
  sigaltstack(&alternate, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

Memory& memory() {
  static Memory only = [] {
    Memory fresh;
    void* space = mmap(nullptr, kSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED) fail("no address space for device memory");
    fresh.start = static_cast<char*>(space);
    catch_faults();
    return fresh;
  }();
  return only;
}

void protect(const Piece& piece, int protection) {
  if (mprotect(piece.pages, piece.mapped, protection) != 0) fail("mprotect failed");
}

}  // namespace

void* allocate(std::size_t bytes) {
  Memory& all = memory();
  const std::size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (all.in_use + size > memory_in_all()) return nullptr;
  Piece piece;
  piece.bytes = size;
  piece.mapped = (size + kPage - 1) / kPage * kPage;
  if (all.used + piece.mapped + 2 * kPage > kSpace) fail("the address space of device memory is used up");
  piece.pages = all.start + all.used + kPage;
  all.used += piece.mapped + kPage;  // a closed page lies before and behind
  char* address = piece.pages + piece.mapped - size;
  protect(piece, PROT_READ | PROT_WRITE);
  std::memset(piece.pages, poison(), piece.mapped);
  if (all.open == 0) protect(piece, PROT_NONE);
  all.in_use += size;
  all.pieces[address] = piece;
  return address;
}

void release(void* address) {
  Memory& all = memory();
  const auto found = all.pieces.find(static_cast<const char*>(address));
  if (found == all.pieces.end()) fail("cudaFree of memory that was not allocated");
  protect(found->second, PROT_NONE);
  madvise(found->second.pages, found->second.mapped, MADV_DONTNEED);
  all.in_use -= found->second.bytes;
  all.pieces.erase(found);
}

std::size_t memory_in_use() { return memory().in_use; }

std::size_t memory_in_all() {
  static const std::size_t bytes = [] {
    const char* text = std::getenv("COXSWAIN_EMULATED_MEMORY");
    return text ? std::strtoull(text, nullptr, 10) : std::size_t{4} << 30;
  }();
  return bytes;
}

bool holds(const void* start, std::size_t bytes) {
  const auto* address = static_cast<const char*>(start);
  const Memory& all = memory();
  const auto next = all.pieces.upper_bound(address);
  if (next == all.pieces.begin()) return false;
  const auto& [first, piece] = *std::prev(next);
  return address + bytes <= first + piece.bytes;
}

bool is_device_address(const void* address) {
  const Memory& all = memory();
  return address >= all.start && address < all.start + kSpace;
}

OpenMemory::OpenMemory() {
  if (memory().open++ > 0) return;
  for (const auto& [address, piece] : memory().pieces) protect(piece, PROT_READ | PROT_WRITE);
}
OpenMemory::~OpenMemory() {
  if (--memory().open > 0) return;
  for (const auto& [address, piece] : memory().pieces) protect(piece, PROT_NONE);
}

void fail(const std::string& message) {
  std::fprintf(stderr, "cuda emulation (seed %llu): %s%s\n", static_cast<unsigned long long>(seed()), message.c_str(),
               place_in_kernel().c_str());
  std::fflush(stderr);
  _exit(70);
}

}  // namespace cuda_emulation
