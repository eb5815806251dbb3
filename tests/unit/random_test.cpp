// Host-side random numbers: bounds, uniformity by a chi-square test, and bijective permutations.
#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <vector>

namespace coxswain {
namespace {

TEST(Random, IntegersStayInBoundsAndAreUniform) {
  const RandomKey key{7, 3};
  constexpr std::uint64_t kBound = 10, kDraws = 100000;
  std::vector<double> count(kBound);
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const std::uint64_t value = uniform_integer(key, i, kBound);
    ASSERT_LT(value, kBound);
    count[value] += 1;
  }
  const double expected = static_cast<double>(kDraws) / kBound;
  double chi_square = 0;
  for (const double n : count) chi_square += (n - expected) * (n - expected) / expected;
  EXPECT_LT(chi_square, 27.9);  // 9 degrees of freedom, p = 0.001
  EXPECT_EQ(uniform_integer(key, 5, 1), 0u);
  EXPECT_THROW(uniform_integer(key, 0, 0), std::invalid_argument);
}

TEST(Random, RealsFillTheUnitInterval) {
  double sum = 0, square = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double value = uniform_real({1, 2}, static_cast<std::uint64_t>(i));
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
    square += value * value;
  }
  EXPECT_NEAR(sum / kDraws, 0.5, 0.005);
  EXPECT_NEAR(square / kDraws, 1.0 / 3.0, 0.005);
}

TEST(Random, DependsOnSeedStreamAndIndexAlone) {
  constexpr std::uint64_t kBound = ~std::uint64_t{0};
  const std::uint64_t value = uniform_integer({1, 2}, 3, kBound);
  EXPECT_EQ(uniform_integer({1, 2}, 3, kBound), value);
  EXPECT_NE(uniform_integer({1, 2}, 4, kBound), value);
  EXPECT_NE(uniform_integer({1, 3}, 3, kBound), value);
  EXPECT_NE(uniform_integer({2, 2}, 3, kBound), value);
}

TEST(Permutation, IsBijectiveForEverySmallSize) {
  for (std::uint64_t size = 1; size <= 300; ++size) {
    const Permutation shuffled({11, size}, size);
    std::vector<bool> seen(size);
    for (std::uint64_t i = 0; i < size; ++i) {
      const std::uint64_t value = shuffled(i);
      ASSERT_LT(value, size);
      ASSERT_FALSE(seen[value]) << "size " << size << " value " << value;
      seen[value] = true;
      ASSERT_EQ(shuffled.inverse(value), i);
    }
  }
}

TEST(Permutation, IsInvertibleForLargeSizes) {
  for (const std::uint64_t size : {(1ull << 32) - 1, (1ull << 32) + 1, 300'000'000'000ull, ~0ull}) {
    const Permutation shuffled({5, 0}, size);
    for (std::uint64_t i = 0; i < 200; ++i) {
      const std::uint64_t value = shuffled(size - 1 - i);
      ASSERT_LT(value, size);
      ASSERT_EQ(shuffled.inverse(value), size - 1 - i);
    }
  }
}

// Mean distance of an element from its place is about size / 3, and the correlation of place and value about zero.
TEST(Permutation, MixesAndDiffersBetweenKeys) {
  constexpr std::uint64_t kSize = 5000;
  const Permutation one({1, 0}, kSize), two({2, 0}, kSize);
  double correlation = 0, same = 0;
  for (std::uint64_t i = 0; i < kSize; ++i) {
    const double x = static_cast<double>(i) / kSize - 0.5, y = static_cast<double>(one(i)) / kSize - 0.5;
    correlation += 12.0 * x * y / kSize;
    same += one(i) == two(i) ? 1 : 0;
  }
  EXPECT_LT(std::abs(correlation), 4.0 / std::sqrt(kSize));
  EXPECT_LT(same, 10);
  EXPECT_THROW(one(kSize), std::out_of_range);
  EXPECT_THROW(Permutation({1, 0}, 0)(0), std::out_of_range);
}

}  // namespace
}  // namespace coxswain
