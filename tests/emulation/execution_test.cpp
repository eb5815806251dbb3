// What the emulation promises: kernels that are right give the same bits in every order, and kernels that are wrong
// change a result from seed to seed or are reported with kernel, block and thread.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "kernels/cuda/shared.cuh"
#include "tests/emulation/emulated_device.h"

namespace cuda_emulation {
namespace {

constexpr int kCount = 256;

__global__ void reverse(const float* from, float* to, bool waits) {
  COXSWAIN_SHARED(float, block, kCount);
  block[threadIdx.x] = from[threadIdx.x];
  if (waits) __syncthreads();
  to[threadIdx.x] = block[kCount - 1 - threadIdx.x];
}

__global__ void sum_by_warp(const float* from, float* to) {
  float value = from[blockIdx.x * blockDim.x + threadIdx.x];
  for (int distance = 16; distance > 0; distance /= 2) value += __shfl_xor_sync(~0u, value, distance);
  const unsigned even = __ballot_sync(~0u, threadIdx.x % 2 == 0);
  const float first = __shfl_sync(~0u, value, 0);
  to[blockIdx.x * blockDim.x + threadIdx.x] = even == 0x55555555u ? first : -1.0f;
}

__global__ void neighbour_of_other_block(float* values) {
  values[blockIdx.x] = values[(blockIdx.x + 1) % gridDim.x] + 1;
}

__global__ void touch(float* values, long place, bool writes) {
  if (blockIdx.x == 1 && threadIdx.x == 3) {
    if (writes) values[place] = 1;
    values[0] = values[place];
  }
}

__global__ void beyond_shared(float* to, int place) {
  COXSWAIN_SHARED(float, block, 33);
  block[threadIdx.x] = 1;
  __syncthreads();
  to[0] = block[place];
}

__global__ void beyond_dynamic(float* to, int place) { to[0] = coxswain::dynamic_shared<float>()[place]; }

__global__ void part_of_a_warp_leaves() {
  if (threadIdx.x == 5) return;
  __shfl_sync(~0u, 1, 0);
}

__global__ void warp_against_barrier() {
  if (threadIdx.x % 32 == 7) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

__global__ void add_one(float* values) { values[threadIdx.x] += 1; }

std::vector<float> run_reverse(std::uint64_t seed, bool waits) {
  EmulatedDevice device(seed);
  std::vector<float> values(kCount);
  for (int i = 0; i < kCount; ++i) values[static_cast<std::size_t>(i)] = static_cast<float>(i);
  float *from = device.upload(values), *to = device.allocate<float>(kCount);
  device.launch(reverse, 1, kCount, 0, from, to, waits);
  return device.download(to, kCount);
}

TEST(Barrier, MakesSharedMemoryKnownAndIsMissedWithoutIt) {
  int wrong = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const std::vector<float> right = run_reverse(seed, true), raced = run_reverse(seed, false);
    for (int i = 0; i < kCount; ++i)
      ASSERT_EQ(right[static_cast<std::size_t>(i)], static_cast<float>(kCount - 1 - i)) << "seed " << seed;
    wrong += raced != right;
  }
  EXPECT_EQ(wrong, 5);
}

TEST(Warp, ShufflesAndVotes) {
  EmulatedDevice device(3);
  std::vector<float> values(kCount * 2);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 32);
  float *from = device.upload(values), *to = device.allocate<float>(kCount * 2);
  device.launch(sum_by_warp, 2, kCount, 0, from, to);
  EXPECT_THAT(device.download(to, kCount * 2), testing::Each(496.0f));  // 0 + 1 + ... + 31
}

TEST(Blocks, RunInAnyOrder) {
  std::set<std::vector<float>> results;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    EmulatedDevice device(seed);
    float* values = device.upload(std::vector<float>(16, 0.0f));
    device.launch(neighbour_of_other_block, 16, 1, 0, values);
    results.insert(device.download(values, 16));
  }
  EXPECT_GT(results.size(), 1u) << "a block that reads what another writes went unseen";
}

TEST(SharedMemory, StartsWithoutANumber) {
  EmulatedDevice device(1);
  float* to = device.allocate<float>(1);
  device.launch(beyond_dynamic, 1, 1, 64, to, 3);
  EXPECT_TRUE(std::isnan(device.download(to, 1)[0]));
}

class Death : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "fast"); }

  static void touch_place(long place, bool writes) {
    EmulatedDevice device(1);
    float* values = device.upload(std::vector<float>(16, 0.0f));
    device.launch(touch, 2, 32, 0, values, place, writes);
    device.synchronize();
  }
  template <class Kernel, class... Arguments>
  static void run(Kernel kernel, unsigned threads, std::size_t shared, Arguments... arguments) {
    EmulatedDevice device(1);
    float* to = device.allocate<float>(1);
    if constexpr (sizeof...(arguments) > 0) {
      device.launch(kernel, 1, threads, shared, to, arguments...);
    } else {
      device.launch(kernel, 1, threads, shared);
    }
    device.synchronize();
  }
};

TEST_F(Death, OfTheFirstElementBeyondAnAllocation) {
  touch_place(15, true);
  const char* message =
      "access out of bounds: byte 64 of an allocation of 64 bytes, in kernel cuda_emulation::touch, "
      "block \\(1, 0, 0\\), thread \\(3, 0, 0\\)";
  EXPECT_EXIT(touch_place(16, true), testing::ExitedWithCode(70), message);
  EXPECT_EXIT(touch_place(16, false), testing::ExitedWithCode(70), message);
}

TEST_F(Death, OfTheFirstElementBeyondSharedMemory) {
  run(beyond_shared, 32, 0, 32);
  EXPECT_EXIT(run(beyond_shared, 32, 0, 33), testing::ExitedWithCode(70), "out of bounds.*beyond_shared.*thread");
  EXPECT_EXIT(run(beyond_dynamic, 1, 64, 16), testing::ExitedWithCode(70), "out of bounds.*beyond_dynamic.*thread");
}

TEST_F(Death, OfThreadsThatWaitForEachOther) {
  EXPECT_EXIT(run(part_of_a_warp_leaves, 32, 0), testing::ExitedWithCode(70), "part_of_a_warp_leaves");
  EXPECT_EXIT(run(warp_against_barrier, 32, 0), testing::ExitedWithCode(70),
              "no thread can go on.*__sync.*__sync.*warp_against_barrier");
}

TEST_F(Death, OfAHostThatTouchesTheDevice) {
  EmulatedDevice device(1);
  float* values = device.upload(std::vector<float>(16, 0.0f));
  device.synchronize();
  EXPECT_EXIT(values[3] = 1, testing::ExitedWithCode(70), "the host touches device memory: byte 12 of an allocation");
}

TEST_F(Death, OfMemoryThatIsUsedAfterItIsFreed) {
  EmulatedDevice device(1);
  float* values = device.allocate<float>(16);
  cudaFree(values);
  EXPECT_EXIT(device.launch(add_one, 1, 16, 0, values);
              device.synchronize(), testing::ExitedWithCode(70), "out of bounds.*add_one");
}

TEST(Launch, RefusesWhatNoDeviceTakes) {
  EmulatedDevice device(1);
  float* to = device.allocate<float>(1);
  EXPECT_EQ(device.try_launch(add_one, 1, 1025, 0, to), cudaErrorInvalidConfiguration);
  EXPECT_EQ(device.try_launch(add_one, 0, 32, 0, to), cudaErrorInvalidConfiguration);
  EXPECT_EQ(device.try_launch(add_one, 1, 32, 49 << 10, to), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaFuncSetAttribute(add_one, cudaFuncAttributeMaxDynamicSharedMemorySize, 300 << 10),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(add_one, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 << 10), cudaSuccess);
  EXPECT_EQ(device.try_launch(add_one, 1, 1, 49 << 10, to), cudaSuccess);
}

}  // namespace
}  // namespace cuda_emulation
