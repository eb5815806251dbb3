// Shared memory of the block that runs at present.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cuda_emulation {

// Forgets what the last block has written.
void shared_memory_of_next_block(std::size_t dynamic_bytes);
// A barrier of the block has let its threads go.
void shared_memory_passes_barrier();

// What is known of a byte of shared memory, kept by watch.cpp; 0: nothing.
struct SharedMark {
  std::uint32_t block = 0;  // in which it was written last
  std::uint32_t write_epoch = 0, writer = 0, read_epoch = 0, reader = 0;
};
// Epochs are numbered through all blocks; a barrier begins one.
struct SharedTime {
  std::uint32_t block, epoch, thread;
};
SharedTime shared_time();
SharedMark* shared_marks(std::uint64_t address);  // null for other memory
// ", byte 4 of a shared array of 128 bytes", or empty.
std::string place_in_shared_memory(const char* address);
// Whether [address, address + bytes) lies inside one array of the block.
bool is_shared_memory(const void* address, std::size_t bytes);

}  // namespace cuda_emulation
