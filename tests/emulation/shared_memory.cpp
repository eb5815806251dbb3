// Shared memory: each array ends where a page begins that nobody may touch, and starts a block without a number.
#include "tests/emulation/shared_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <map>

#include "tests/emulation/schedule.h"

namespace cuda_emulation {
namespace {

constexpr std::size_t kPage = 4096, kAlignment = 16;   // of dynamic memory
constexpr std::size_t kSpace = std::size_t{64} << 20;  // of addresses, for all arrays

struct Array {
  char* data = nullptr;
  std::size_t bytes = 0;
  std::uint32_t block = 0;  // that has filled it with no number
};

void* reserve(std::size_t bytes, int protection) {
  void* memory = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("no address space for shared arrays");
  return memory;
}
char* space() {
  static char* const start = static_cast<char*>(reserve(kSpace, PROT_NONE));
  return start;
}

// Pages for `bytes`, and one more that is closed; returns its address.
char* map_before_closed_page(std::size_t bytes) {
  static std::size_t used = 0;
  const std::size_t open = (bytes + kPage - 1) / kPage * kPage;
  char* const memory = space() + used;
  used += open + kPage;
  if (used > kSpace || mprotect(memory, open, PROT_READ | PROT_WRITE) != 0) fail("no memory for shared arrays");
  return memory + open;
}

Array dynamic;
std::uint32_t block_number = 0, epoch = 0;

std::map<const void*, Array>& static_arrays() {
  static std::map<const void*, Array> arrays;
  return arrays;
}
bool is_inside(const Array& array, const char* address, std::size_t bytes) {
  return array.block == block_number && address >= array.data && address + bytes <= array.data + array.bytes;
}

void* fresh(Array& array) {
  if (array.block != block_number) {
    std::memset(array.data, poison(), array.bytes);
    array.block = block_number;
  }
  return array.data;
}

}  // namespace

void shared_memory_of_next_block(std::size_t dynamic_bytes) {
  constexpr std::size_t kMost = std::size_t{256} << 10;
  static char* const end = map_before_closed_page(kMost);
  ++block_number, ++epoch;
  dynamic.bytes = (dynamic_bytes + kAlignment - 1) / kAlignment * kAlignment;
  dynamic.data = end - dynamic.bytes;
}

void shared_memory_passes_barrier() { ++epoch; }

SharedTime shared_time() { return {block_number, epoch, thread_of_block()}; }

SharedMark* shared_marks(std::uint64_t address) {
  static auto* const marks = static_cast<SharedMark*>(reserve(kSpace * sizeof(SharedMark), PROT_READ | PROT_WRITE));
  const std::uint64_t offset = address - reinterpret_cast<std::uintptr_t>(space());
  return offset < kSpace ? marks + offset : nullptr;
}

std::string place_in_shared_memory(const char* address) {
  const auto inside = [address](const Array& array) {
    return address >= array.data && address < array.data + array.bytes;
  };
  const auto place = [address](const Array& array, const char* kind) {
    return ", byte " + std::to_string(address - array.data) + " of a " + kind + " array of " +
           std::to_string(array.bytes) + " bytes";
  };
  if (dynamic.data != nullptr && inside(dynamic)) return place(dynamic, "dynamic shared");
  for (const auto& [key, array] : static_arrays())
    if (inside(array)) return place(array, "shared");
  return "";
}

bool is_shared_memory(const void* start, std::size_t bytes) {
  const auto* address = static_cast<const char*>(start);
  if (is_inside(dynamic, address, bytes)) return true;
  for (const auto& [key, array] : static_arrays())
    if (is_inside(array, address, bytes)) return true;
  return false;
}

void* dynamic_shared_memory() { return fresh(dynamic); }

void* static_shared_memory(const void* key, std::size_t bytes) {
  Array& array = static_arrays()[key];
  if (array.data == nullptr) {
    array.bytes = bytes;  // ends where it ends: an array of floats may be aligned as a float only
    array.data = map_before_closed_page(bytes) - bytes;
  }
  return fresh(array);
}

}  // namespace cuda_emulation
