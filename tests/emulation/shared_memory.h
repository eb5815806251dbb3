// Shared memory of the block that runs at present.
#pragma once

#include <cstddef>

namespace cuda_emulation {

// Forgets what the last block has written.
void shared_memory_of_next_block(std::size_t dynamic_bytes);

}  // namespace cuda_emulation
