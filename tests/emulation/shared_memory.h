// Shared memory of the block that runs at present.
#pragma once

#include <cstddef>

namespace cuda_emulation {

// Forgets what the last block has written.
void shared_memory_of_next_block(std::size_t dynamic_bytes);
// Whether [address, address + bytes) lies inside one array of the block.
bool is_shared_memory(const void* address, std::size_t bytes);

}  // namespace cuda_emulation
