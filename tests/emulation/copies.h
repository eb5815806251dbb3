// Asynchronous copies of the threads of the block that runs at present.
#pragma once

namespace cuda_emulation {

void let_copies_land(unsigned thread);  // some of them, by chance
void end_copies(unsigned thread);       // the thread ends: it must have waited for all

}  // namespace cuda_emulation
