// Streams: a dependency that an event makes is kept in every order, one that is missing shows.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "tests/emulation/emulated_device.h"

namespace cuda_emulation {
namespace {

__global__ void fill(float* values, float value) { values[threadIdx.x] = value; }
__global__ void copy(const float* from, float* to) { to[threadIdx.x] = from[threadIdx.x]; }

// One stream fills, another copies.
std::vector<float> fill_and_copy(std::uint64_t seed, bool waits) {
  EmulatedDevice device(seed);
  cudaStream_t other = nullptr;
  cudaEvent_t filled = nullptr;
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&filled, cudaEventDisableTiming);
  float *from = device.upload(std::vector<float>(32, 0.0f)), *to = device.allocate<float>(32);
  device.synchronize();
  device.launch(fill, 1, 32, 0, from, 7.0f);
  if (waits) {
    cudaEventRecord(filled, device.stream());
    cudaStreamWaitEvent(other, filled);
  }
  device.launch_into(other, copy, 1, 32, 0, from, to);
  cudaStreamSynchronize(other);
  std::vector<float> result = device.download(to, 32);
  cudaEventDestroy(filled);
  cudaStreamDestroy(other);
  return result;
}

TEST(Streams, AnEventIsKeptAndAMissingOneShows) {
  std::set<float> raced;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    EXPECT_EQ(fill_and_copy(seed, true), std::vector<float>(32, 7.0f)) << "seed " << seed;
    raced.insert(fill_and_copy(seed, false)[0]);
  }
  EXPECT_EQ(raced, (std::set<float>{0.0f, 7.0f}));
}

// A pinned buffer that is used again before its copy has run.
TEST(Streams, APinnedBufferIsReadWhenTheStreamGetsThere) {
  std::set<float> seen;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    EmulatedDevice device(seed);
    void* buffer = nullptr;
    cudaMallocHost(&buffer, 4);
    float* to = device.allocate<float>(1);
    *static_cast<float*>(buffer) = 1;
    cudaMemcpyAsync(to, buffer, 4, cudaMemcpyHostToDevice, device.stream());
    *static_cast<float*>(buffer) = 2;
    seen.insert(device.download(to, 1)[0]);
    cudaFreeHost(buffer);
  }
  EXPECT_EQ(seen, (std::set<float>{1.0f, 2.0f}));
}

TEST(Streams, OrdinaryMemoryIsReadAtOnce) {
  EmulatedDevice device(1);
  float value = 1, *to = device.allocate<float>(1);
  cudaMemcpyAsync(to, &value, 4, cudaMemcpyHostToDevice, device.stream());
  value = 2;
  EXPECT_EQ(device.download(to, 1)[0], 1.0f);
}

TEST(Copies, StayInsideOneAllocation) {
  EmulatedDevice device(1);
  float* to = device.allocate<float>(16);
  const std::vector<float> values(17);
  EXPECT_EXIT(cudaMemcpyAsync(to, values.data(), 68, cudaMemcpyHostToDevice, device.stream()),
              testing::ExitedWithCode(70), "cudaMemcpyAsync of 68 bytes is not inside one allocation");
}

TEST(Device, MemoryEnds) {
  void* memory = nullptr;
  std::size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  EXPECT_EQ(cudaMalloc(&memory, total + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&memory, 1000), cudaSuccess);
  std::size_t less = 0;
  cudaMemGetInfo(&less, &total);
  EXPECT_EQ(free - less, 1024u);
  cudaFree(memory);
}

}  // namespace
}  // namespace cuda_emulation
