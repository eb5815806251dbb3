// Shared memory: each array ends where a page begins that nobody may touch, and starts a block without a number.
#include "tests/emulation/shared_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <map>

#include "tests/emulation/schedule.h"

namespace cuda_emulation {
namespace {

constexpr std::size_t kPage = 4096, kAlignment = 16;  // of dynamic memory

struct Array {
  char* data = nullptr;
  std::size_t bytes = 0;
  std::uint64_t block = 0;  // that has filled it with no number
};

// Pages for `bytes`, and one more that is closed; returns its address.
char* map_before_closed_page(std::size_t bytes) {
  const std::size_t open = (bytes + kPage - 1) / kPage * kPage;
  void* memory = mmap(nullptr, open + kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, open, PROT_READ | PROT_WRITE) != 0) fail("no memory for shared arrays");
  return static_cast<char*>(memory) + open;
}

Array dynamic;
std::uint64_t block_number = 0;

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
  ++block_number;
  dynamic.bytes = (dynamic_bytes + kAlignment - 1) / kAlignment * kAlignment;
  dynamic.data = end - dynamic.bytes;
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
