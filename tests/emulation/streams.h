// What the other parts of the emulated runtime ask of its streams.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <mutex>

namespace cuda_emulation {

// One thread of the host at a time is inside of the runtime.
std::unique_lock<std::recursive_mutex> lock_device();
void enqueue(cudaStream_t stream, std::function<void()> work);
void run_all();

}  // namespace cuda_emulation
