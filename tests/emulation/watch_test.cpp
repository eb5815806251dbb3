// What is reported of kernels whose every access is watched: memory that nobody has written, warps that meet at one
// place without a barrier, in whatever order they come, and misaligned accesses. This file is compiled as the watched
// kernels are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/shared.cuh"
#include "tests/emulation/emulated_device.h"

namespace cuda_emulation {
namespace {

constexpr int kCount = 64;  // two warps

__global__ void read_unwritten(float* to, bool writes) {
  COXSWAIN_SHARED(float, block, kCount);
  if (writes || threadIdx.x != 7) block[threadIdx.x] = 1;
  __syncthreads();
  to[threadIdx.x] = block[threadIdx.x];
}
__global__ void read_unwritten_dynamic(float* to) { to[0] = coxswain::dynamic_shared<float>()[3]; }

__global__ void hand_over(float* to, bool waits) {  // reads what the other warp writes
  COXSWAIN_SHARED(float, block, kCount);
  block[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (waits) __syncthreads();
  to[threadIdx.x] = block[(threadIdx.x + 32) % kCount];
}
__global__ void write_one_place(float* to) {
  COXSWAIN_SHARED(float, block, 1);
  if (threadIdx.x % 32 == 0) block[0] = 1;  // the same number by both warps: no result can show it
  __syncthreads();
  to[threadIdx.x] = block[0];
}
__global__ void write_after_read(float* to, bool waits) {
  COXSWAIN_SHARED(float, block, kCount);
  block[threadIdx.x] = 1;
  __syncthreads();
  to[threadIdx.x] = block[kCount - 1 - threadIdx.x];
  if (waits) __syncthreads();
  block[threadIdx.x] = 2;
}
__global__ void read_pair(const float* from, float* to, int place) {
  const auto* pair = reinterpret_cast<const double*>(from + place);
  to[0] = static_cast<float>(*pair);
}

class Watch : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "fast"); }

  template <class Kernel, class... Arguments>
  static void run(std::uint64_t seed, Kernel kernel, std::size_t shared, Arguments... arguments) {
    EmulatedDevice device(seed);
    device.launch(kernel, 2, kCount, shared, device.allocate<float>(kCount), arguments...);
    device.synchronize();
  }
  // In every order, not only in one that shows it.
  template <class Kernel, class... Arguments>
  static void expect_report(const char* message, Kernel kernel, std::size_t shared, Arguments... arguments) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed)
      EXPECT_EXIT(run(seed, kernel, shared, arguments...), testing::ExitedWithCode(70), message) << "seed " << seed;
  }
};

TEST_F(Watch, ReportsSharedMemoryThatNobodyHasWritten) {
  run(1, read_unwritten, 0, true);
  expect_report(
      "a read of shared memory that nobody has written: 4 bytes, byte 28 of a shared array of 256 bytes, in kernel "
      "cuda_emulation::.*read_unwritten.*, block .*, thread \\(7, 0, 0\\)",
      read_unwritten, 0, false);
  expect_report("nobody has written: 4 bytes, byte 12 of a dynamic shared array of 64 bytes.*read_unwritten_dynamic",
                read_unwritten_dynamic, 64);
}

TEST_F(Watch, ReportsWarpsThatMeetWithoutABarrier) {
  run(1, hand_over, 0, true);
  run(1, write_after_read, 0, true);
  // Whoever comes first: it reads what is not written yet, or what the other has just written.
  expect_report("nobody has written|a read of what thread [0-9]+ of the block writes without a barrier", hand_over, 0,
                false);
  expect_report("a write where thread [0-9]+ of the block writes without a barrier", write_one_place, 0);
  expect_report("a write of what thread [0-9]+ of the block reads without a barrier|a read of what", write_after_read,
                0, false);
}

TEST_F(Watch, ReportsMisalignedAccesses) {
  const auto run_at = [](int place) {
    EmulatedDevice device(1);
    float* from = device.upload(std::vector<float>(16, 0.0f));
    device.launch(read_pair, 1, 1, 0, from, device.allocate<float>(1), place);
    device.synchronize();
  };
  run_at(2);
  EXPECT_EXIT(run_at(3), testing::ExitedWithCode(70), "misaligned access: 8 bytes, in kernel .*read_pair.*thread");
}

}  // namespace
}  // namespace cuda_emulation
