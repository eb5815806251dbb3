// The twins of tensor-core instructions and asynchronous copies, against layouts worked out by hand from the tables of
// the PTX ISA; and that a copy whose wait or barrier is missing is seen.
#include "kernels/cuda/ptx.cuh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/cuda/shared.cuh"
#include "tests/emulation/emulated_device.h"

namespace cuda_emulation {
namespace {

namespace ptx = coxswain::ptx;
using coxswain::bf16;

std::uint32_t pair_of(float first, float second) { return ptx::pack(first, second); }

// "Matrix Fragments for mma.m16n8k16 with floating point type": where element i of a lane's fragment lies.
struct Place {
  int row, column;
};
Place of_a(int lane, int i) {
  return {(i < 2 || (i >= 4 && i < 6)) ? lane / 4 : lane / 4 + 8, lane % 4 * 2 + i % 2 + (i >= 4 ? 8 : 0)};
}
Place of_b(int lane, int i) { return {lane % 4 * 2 + i % 2 + (i >= 2 ? 8 : 0), lane / 4}; }
Place of_c(int lane, int i) { return {i < 2 ? lane / 4 : lane / 4 + 8, lane % 4 * 2 + i % 2}; }

// a [16, 16], b [16, 8], c [16, 8]: c += a b.
__global__ void multiply(const float* a, const float* b, float* c) {
  const int lane = static_cast<int>(threadIdx.x);
  std::uint32_t pairs[4];
  for (int part = 0; part < 4; ++part) {
    const Place first = of_a(lane, 2 * part), second = of_a(lane, 2 * part + 1);
    pairs[part] = pair_of(a[first.row * 16 + first.column], a[second.row * 16 + second.column]);
  }
  std::uint32_t halves[2];
  for (int part = 0; part < 2; ++part) {
    const Place first = of_b(lane, 2 * part), second = of_b(lane, 2 * part + 1);
    halves[part] = pair_of(b[first.row * 8 + first.column], b[second.row * 8 + second.column]);
  }
  float results[4];
  for (int i = 0; i < 4; ++i) results[i] = c[of_c(lane, i).row * 8 + of_c(lane, i).column];
  ptx::mma(results, pairs, halves[0], halves[1]);
  for (int i = 0; i < 4; ++i) c[of_c(lane, i).row * 8 + of_c(lane, i).column] = results[i];
}

// The four words of each lane, of matrices whose element (row, column) of matrix m is 64 m + 8 row + column.
__global__ void load_four(float* words, bool transposed, int past) {
  auto* elements = coxswain::dynamic_shared<bf16>();
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) elements[i] = bf16(static_cast<float>(i));
  __syncwarp();
  std::uint32_t parts[4];
  if (transposed) {
    ptx::load_transposed(parts, elements + lane * 8 + past);
  } else {
    ptx::load_matrices(parts, elements + lane * 8 + past);
  }
  for (int m = 0; m < 4; ++m) {
    words[(lane * 4 + m) * 2] = std::bit_cast<float>(parts[m] << 16);
    words[(lane * 4 + m) * 2 + 1] = std::bit_cast<float>(parts[m] & 0xffff0000u);
  }
}

struct CopyOrder {
  bool waits = true, meets = true;
  int first_pending = 0;  // groups that the first wait leaves
  int to_past = 0, from_past = 0;
};

// Every thread copies four floats of each of two groups, then reads its neighbour's.
__global__ void copy_groups(const float* from, float* to, CopyOrder order) {
  auto* place = coxswain::dynamic_shared<float>();
  const unsigned count = blockDim.x, thread = threadIdx.x, next = (thread + 1) % count;
  for (unsigned group = 0; group < 2; ++group) {
    const unsigned at = (group * count + thread) * 4;
    ptx::copy_async(place + at + order.to_past, from + at + order.from_past, thread != 7);
    ptx::commit_copies();
  }
  if (order.waits) {
    if (order.first_pending == 1) {
      ptx::wait_for_copies<1>();
    } else {
      ptx::wait_for_copies<0>();
    }
  }
  if (order.meets) __syncthreads();
  for (unsigned group = 0; group < 2; ++group)
    for (unsigned i = 0; i < 4; ++i) to[(group * count + thread) * 4 + i] = place[(group * count + next) * 4 + i];
  ptx::wait_for_copies<0>();
}

__global__ void copy_without_end(const float* from) {
  for (int i = 0; i < 16; ++i) ptx::copy_async(coxswain::dynamic_shared<float>() + 4 * i, from, true);
}

__global__ void half_a_warp(float* to) {
  float c[4] = {};
  const std::uint32_t a[4] = {};
  ptx::mma(c, a, 0, 0);
  to[0] = c[0];
}

constexpr unsigned kThreads = 64;
constexpr std::size_t kFloats = kThreads * 8;

std::vector<float> counted(std::size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.0f);
  return values;
}

std::vector<float> run_copies(std::uint64_t seed, const CopyOrder& order) {
  EmulatedDevice device(seed);
  float *from = device.upload(counted(kFloats)), *to = device.allocate<float>(kFloats);
  device.launch(copy_groups, 1, kThreads, kFloats * sizeof(float), from, to, order);
  return device.download(to, kFloats);
}

std::vector<float> product(const std::vector<float>& a, const std::vector<float>& b, float start) {
  EmulatedDevice device(1);
  float *from_a = device.upload(a), *from_b = device.upload(b), *to = device.upload(std::vector<float>(128, start));
  device.launch(multiply, 1, 32, 0, from_a, from_b, to);
  return device.download(to, 128);
}

TEST(Mma, MultipliesByIdentitiesAndAdds) {
  std::vector<float> identity(256, 0.0f), upper(128, 0.0f), lower(128, 0.0f);
  for (std::size_t i = 0; i < 16; ++i) identity[i * 17] = 1;
  for (std::size_t i = 0; i < 8; ++i) upper[i * 9] = 1, lower[(i + 8) * 8 + i] = 1;
  const std::vector<float> b = counted(128), a = counted(256);  // all exact in bf16
  std::vector<float> expected = b;
  for (float& value : expected) value += 3;
  EXPECT_EQ(product(identity, b, 3), expected);
  const std::vector<float> left = product(a, upper, 0), right = product(a, lower, 0);
  for (std::size_t row = 0; row < 16; ++row)
    for (std::size_t column = 0; column < 8; ++column) {
      ASSERT_EQ(left[row * 8 + column], static_cast<float>(row * 16 + column));
      ASSERT_EQ(right[row * 8 + column], static_cast<float>(row * 16 + column + 8));
    }
}

// Figures of the PTX ISA, read by hand: lane 0 has (0, 0) and (0, 1); lane 13 has row 3 and columns 2, 3; lane 31 row 7
// and columns 6, 7. Transposed: rows and columns change places.
TEST(LoadMatrices, GivesEachLaneItsPairs) {
  for (const bool transposed : {false, true}) {
    EmulatedDevice device(2);
    float* words = device.allocate<float>(256);
    device.launch(load_four, 1, 32, 512, words, transposed, 0);
    const std::vector<float> values = device.download(words, 256);
    for (std::size_t m = 0; m < 4; ++m)
      for (const auto& [lane, row, column] : {std::tuple(0, 0, 0), std::tuple(13, 3, 2), std::tuple(31, 7, 6)}) {
        const int first = transposed ? column * 8 + row : row * 8 + column, step = transposed ? 8 : 1;
        const std::size_t at = (static_cast<std::size_t>(lane) * 4 + m) * 2;
        EXPECT_EQ(values[at], static_cast<float>(64 * static_cast<int>(m) + first)) << lane << " " << transposed;
        EXPECT_EQ(values[at + 1], static_cast<float>(64 * static_cast<int>(m) + first + step)) << lane;
      }
  }
}

TEST(CopyAsync, IsThereAfterItsWaitAndABarrierAndNotBefore) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const std::vector<float> right = run_copies(seed, {});
    for (std::size_t i = 0; i < kFloats; ++i) {
      const std::size_t thread = i / 4 % kThreads, next = (thread + 1) % kThreads;
      const auto value = static_cast<float>(i / (4 * kThreads) * 4 * kThreads + next * 4 + i % 4);
      ASSERT_EQ(right[i], next == 7 ? 0.0f : value) << "seed " << seed << ", element " << i;  // 7 asks for zeros
    }
    CopyOrder order;
    order.waits = false;
    EXPECT_NE(run_copies(seed, order), right) << "without a wait, seed " << seed;
    order = {};
    order.meets = false;
    EXPECT_NE(run_copies(seed, order), right) << "without a barrier, seed " << seed;
    order = {};
    order.first_pending = 1;
    const std::vector<float> half = run_copies(seed, order);
    EXPECT_TRUE(std::equal(half.begin(), half.begin() + kFloats / 2, right.begin()))
        << "the older group, seed " << seed;
    EXPECT_NE(half, right) << "the newer group, seed " << seed;
  }
}

class PtxDeath : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "fast"); }
  template <class Kernel, class... Arguments>
  static void run(Kernel kernel, unsigned threads, Arguments... arguments) {
    EmulatedDevice device(1);
    float* memory = device.upload(std::vector<float>(512, 0.0f));
    device.launch(kernel, 1, threads, 512, memory, arguments...);
    device.synchronize();
  }
};

TEST_F(PtxDeath, OfRowsThatAreNotAligned) {
  EXPECT_EXIT(
      run(load_four, 32, false, 1), testing::ExitedWithCode(70),
      "ldmatrix: a row at an address that lies 2 bytes past its alignment, in kernel .*load_four, block .*thread");
  EXPECT_EXIT(run(load_four, 32, true, 8), testing::ExitedWithCode(70),
              "ldmatrix.* not inside shared memory.*load_four");
}

TEST_F(PtxDeath, OfCopiesThatAreNotAligned) {
  CopyOrder order;
  order.to_past = 1;
  EXPECT_EXIT(run_copies(1, order), testing::ExitedWithCode(70), "cp.async: the place .* 4 bytes past.*copy_groups");
  order = {};
  order.from_past = 2;
  EXPECT_EXIT(run_copies(1, order), testing::ExitedWithCode(70), "cp.async: the source .* 8 bytes past.*copy_groups");
  order.from_past = 4;
  EXPECT_EXIT(run_copies(1, order), testing::ExitedWithCode(70), "out of bounds: cp.async.*copy_groups");
}

TEST_F(PtxDeath, OfAThreadThatEndsBeforeItsCopies) {
  EXPECT_EXIT(run(copy_without_end, 1), testing::ExitedWithCode(70), "has not waited for.*copy_without_end");
}

TEST_F(PtxDeath, OfAWarpThatIsNotWhole) {
  EXPECT_EXIT(run(half_a_warp, 16), testing::ExitedWithCode(70), "mma in a warp that is not whole.*half_a_warp");
}

}  // namespace
}  // namespace cuda_emulation
