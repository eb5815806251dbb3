// Memory of the emulated device: pages that the host cannot touch, opened while kernels and copies run, each piece
// between pages that nobody can touch, and never used twice.
#pragma once

#include <cstddef>

namespace cuda_emulation {

// Null if the device has no more. Filled with no number.
void* allocate(std::size_t bytes);
void release(void* memory);
std::size_t memory_in_use();
std::size_t memory_in_all();  // COXSWAIN_EMULATED_MEMORY bytes, else 4 GiB
// Whether [memory, memory + bytes) lies inside one piece.
bool holds(const void* memory, std::size_t bytes);
bool is_device_address(const void* memory);

// While one lives, device memory can be read and written.
class OpenMemory {
 public:
  OpenMemory();
  OpenMemory(const OpenMemory&) = delete;
  OpenMemory& operator=(const OpenMemory&) = delete;
  ~OpenMemory();
};

}  // namespace cuda_emulation
