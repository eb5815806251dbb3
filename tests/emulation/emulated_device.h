// A stream of the emulated device and what tests of the emulation put into it.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/emulation/schedule.h"

namespace cuda_emulation {

class EmulatedDevice {
 public:
  explicit EmulatedDevice(std::uint64_t seed) {
    set_seed(seed);
    cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
  }
  EmulatedDevice(const EmulatedDevice&) = delete;
  EmulatedDevice& operator=(const EmulatedDevice&) = delete;
  ~EmulatedDevice() { cudaStreamDestroy(stream_); }

  cudaStream_t stream() const { return stream_; }
  void synchronize() const { cudaStreamSynchronize(stream_); }
  template <class T>
  T* allocate(std::size_t count) const {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, count * sizeof(T)), cudaSuccess);
    return static_cast<T*>(memory);
  }
  float* upload(const std::vector<float>& values) const {
    auto* memory = allocate<float>(values.size());
    cudaMemcpyAsync(memory, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice, stream_);
    return memory;
  }
  std::vector<float> download(const float* values, std::size_t count) const {
    std::vector<float> result(count);
    cudaMemcpyAsync(result.data(), values, count * sizeof(float), cudaMemcpyDeviceToHost, stream_);
    synchronize();
    return result;
  }
  template <class Kernel, class... Arguments>
  cudaError_t try_launch(Kernel kernel, unsigned blocks, unsigned threads, std::size_t shared, Arguments... arguments) {
    return launch_config(stream_, kernel, blocks, threads, shared, arguments...);
  }
  template <class Kernel, class... Arguments>
  void launch(Kernel kernel, unsigned blocks, unsigned threads, std::size_t shared, Arguments... arguments) {
    launch_into(stream_, kernel, blocks, threads, shared, arguments...);
  }
  template <class Kernel, class... Arguments>
  void launch_into(cudaStream_t stream, Kernel kernel, unsigned blocks, unsigned threads, std::size_t shared,
                   Arguments... arguments) {
    ASSERT_EQ(launch_config(stream, kernel, blocks, threads, shared, arguments...), cudaSuccess);
  }

 private:
  template <class Kernel, class... Arguments>
  static cudaError_t launch_config(cudaStream_t stream, Kernel kernel, unsigned blocks, unsigned threads,
                                   std::size_t shared, Arguments... arguments) {
    cudaLaunchConfig_t config;
    config.gridDim = dim3(blocks);
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, arguments...);
  }

  cudaStream_t stream_ = nullptr;
};

}  // namespace cuda_emulation
