// Lanes and the tiles made of them, in the form of each kind of processor: compiled for any x86-64, for AVX2 and for
// this machine (tests/CMakeLists.txt). Numbers are small integers where sums must have one value in every form.
#include "kernels/cpu/lanes.h"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "kernels/cpu/row_strips.h"

namespace coxswain {
namespace {

template <class T>
std::vector<T> integers(std::int64_t count, unsigned seed) {
  std::mt19937 words(seed);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = T(static_cast<float>(words() % 17) - 8);
  return values;
}
std::vector<float> fractions(int count, unsigned seed) {
  std::mt19937 words(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(words()) / 4294967296.0f - 0.5f;
  return values;
}
template <class R>
std::array<R, kLanes> stored(const Lanes<R>& lanes) {
  std::array<R, kLanes> values;
  store_lanes(lanes, values.data());
  return values;
}

class Forms : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__AVX2__) && defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) GTEST_SKIP() << "no AVX2 here";
#endif
  }
};
template <class T>
class Tiles : public Forms {};
using Types = testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(Tiles, Types);

TYPED_TEST(Tiles, LoadedNumbersAreFollowedByZeros) {
  using T = TypeParam;
  const std::vector<T> from = integers<T>(2 * kLanes, 1);
  for (std::int64_t count = 0; count <= 2 * kLanes; ++count) {
    const auto one = stored(load_lanes(from.data(), count));
    std::array<Real<T>, 2 * kLanes> two;
    store_pair(load_pair(from.data(), count), two.data());
    for (std::int64_t i = 0; i < 2 * kLanes; ++i) {
      const auto expected = i < count ? load(from[static_cast<std::size_t>(i)]) : Real<T>(0);
      if (i < kLanes) {
        EXPECT_EQ(one[static_cast<std::size_t>(i)], expected) << i << " of " << count;
      }
      EXPECT_EQ(two[static_cast<std::size_t>(i)], expected) << i << " of " << count;
    }
  }
}

TYPED_TEST(Tiles, AStepHasSomeNumbersAndZeros) {
  using T = TypeParam;
  using Step = DotStep<T>;
  constexpr int kNumbers = Step::kRows * Step::kWidth, kOfLane = kNumbers / kLanes;
  const std::vector<T> from = integers<T>(kNumbers, 9), ones(Step::kWidth, T(1.0f));
  for (std::int64_t count = 0; count <= kNumbers; count += kOfLane) {
    const auto sums =
        stored(Step::multiply_add(Step::load(from.data(), count), Step::repeat(ones.data()), all_lanes(Real<T>(0))));
    for (int lane = 0; lane < kLanes; ++lane) {
      Real<T> expected = 0;
      for (int i = lane * kOfLane; i < (lane + 1) * kOfLane && i < count; ++i)
        expected += load(from[static_cast<std::size_t>(i)]);
      EXPECT_EQ(sums[static_cast<std::size_t>(lane)], expected) << lane << " of " << count;
    }
  }
}

TEST_F(Forms, SumsAcrossLanesHaveTheirOrder) {
  constexpr int kColumns = 7;
  const std::vector<float> numbers = fractions(16 * kLanes, 2);
  Lanes<float> lanes[16];
  for (int i = 0; i < 16; ++i) lanes[i] = load_lanes(numbers.data() + i * kLanes);
  const auto at = [&](int i, int lane) { return numbers[static_cast<std::size_t>(i * kLanes + lane)]; };
  float pairs[8], to[8 * kColumns] = {};
  sums_of_neighbours(lanes, to + 1, kColumns);
  const auto all = stored(sums_of_sixteen(lanes));
  for (int j = 0; j < 4; ++j) {
    sums_of_pairs(lanes[j], pairs);
    for (int row = 0; row < 8; ++row) {
      EXPECT_EQ(pairs[row], at(j, 2 * row) + at(j, 2 * row + 1));
      EXPECT_EQ(to[row * kColumns + 1 + j], pairs[row]);
    }
  }
  for (int i = 0; i < 16; ++i) {
    float eight[8], four[4];
    for (int k = 0; k < 8; ++k) eight[k] = at(i, k) + at(i, k + 8);
    for (int k = 0; k < 4; ++k) four[k] = eight[k] + eight[k + 4];
    const float sum = (four[0] + four[2]) + (four[1] + four[3]);
    EXPECT_NEAR(all[static_cast<std::size_t>(i)], sum, 1e-6f);  // the only one whose order is that of the form
  }
}

TEST_F(Forms, ElementsAreAddedAndMultiplied) {
  const std::vector<float> numbers = fractions(3 * kLanes, 3);
  const auto a = load_lanes(numbers.data()), b = load_lanes(numbers.data() + 16), c = load_lanes(numbers.data() + 32);
  const auto product = stored(multiply_add(a, b, c)), sum = stored(add(a, b));
  for (std::size_t i = 0; i < kLanes; ++i) {
    EXPECT_EQ(product[i], multiply_add(numbers[i], numbers[16 + i], numbers[32 + i]));
    EXPECT_EQ(sum[i], numbers[i] + numbers[16 + i]);
  }
}

// y = x w^T in plain loops; x [m, k], w [n, k].
template <class T>
std::vector<Real<T>> product(const std::vector<T>& x, const std::vector<T>& w, std::int64_t m, std::int64_t n) {
  const std::int64_t k = std::ssize(x) / m;
  std::vector<Real<T>> y;
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      Real<T> sum = 0;
      for (std::int64_t l = 0; l < k; ++l)
        sum += load(x[static_cast<std::size_t>(i * k + l)]) * load(w[static_cast<std::size_t>(j * k + l)]);
      y.push_back(sum);
    }
  return y;
}

TYPED_TEST(Tiles, OfPackedRowsAndOfRowsAsTheyLie) {
  using T = TypeParam;
  constexpr std::int64_t kRowsOfW = std::max<std::int64_t>(kWeights, DotStep<T>::kRows);
  for (const std::int64_t k : {1, 7, 16, 32, 53}) {
    const std::vector<T> x = integers<T>(kTileRows * k, 4), w = integers<T>(kRowsOfW * k, 5);
    std::vector<T> packed(static_cast<std::size_t>(PackedRows<T>::elements(kTileRows, k)));
    PackedRows<T> rows(packed.data());
    rows.pack(x.data(), k, kTileRows, k);
    std::vector<Real<T>> y(static_cast<std::size_t>(kTileRows * kWeights));
    dot_tile<kMostRegisters, kWeights>(rows.tile(0), w.data(), k, k, {}, y.data(), kWeights);
    const std::vector<T> tile_w(w.begin(), w.begin() + kWeights * k);
    EXPECT_EQ(y, product(x, tile_w, kTileRows, kWeights)) << k;

    const std::vector<T> four(x.begin(), x.begin() + 4 * k), eight(w.begin(), w.begin() + 8 * k);
    const T* begin[4];
    for (int i = 0; i < 4; ++i) begin[i] = four.data() + i * k;
    y.resize(4 * 8);
    narrow_tile<4>(begin, eight.data(), k, k, {}, y.data(), 8);
    EXPECT_EQ(y, product(four, eight, 4, 8)) << k;
  }
}

// A strip of w [16, k] in groups, and what is not within sixteen binades beside.
template <class T>
struct PackedStrip {
  using Code = GroupCode<T>;
  using Word = typename Code::Word;
  std::vector<std::uint32_t> memory;
  std::vector<CodeException> exceptions;
  CompressedStrip<T> strip;

  PackedStrip(const std::vector<T>& w, std::int64_t k, float lowest) {
    constexpr int kWidth = DotStep<T>::kWidth;
    const Word base = word(T(lowest)) & Code::kExponent;
    const std::int64_t groups = k / group_columns<T>();
    memory.resize(static_cast<std::size_t>(groups) * Code::kWords);  // more than enough for bf16
    for (std::int64_t group = 0; group < groups; ++group) {
      Word numbers[2 * Code::kHalf];
      for (int i = 0; i < 2 * Code::kHalf; ++i) {
        const int step = i % Code::kHalf / (kHalfRows * kWidth), within = i % (kHalfRows * kWidth);
        const std::int64_t row = i / Code::kHalf * kHalfRows + within / kWidth,
                           column = group * group_columns<T>() + step * kWidth + within % kWidth;
        numbers[i] = word(w[static_cast<std::size_t>(row * k + column)]);
        const auto above = static_cast<Word>((numbers[i] & Code::kExponent) - base);
        if (above >> Code::kMantissa > 15) exceptions.push_back({static_cast<std::int32_t>(group), i, numbers[i]});
      }
      Code::pack(numbers, base, reinterpret_cast<Word*>(memory.data()) + group * Code::kWords);
    }
    strip = {reinterpret_cast<const Word*>(memory.data()), k, base, exceptions};
  }
  static Word word(T number) {
    Word bits;
    std::memcpy(&bits, &number, sizeof bits);
    return bits;
  }
};

template <class T>
class Compression : public Forms {};
using Compressible = testing::Types<float, bf16>;
TYPED_TEST_SUITE(Compression, Compressible);

TYPED_TEST(Compression, OfAStripIsUndoneInItsTile) {
  using T = TypeParam;
  for (const std::int64_t k : {16, 96}) {
    const std::vector<T> x = integers<T>(8 * k, 6), w = integers<T>(kStripRows * k, 7);  // one in 17 is a zero
    const PackedStrip<T> packed(w, k, 1.0f);
    EXPECT_FALSE(packed.exceptions.empty());
    std::vector<T> together(static_cast<std::size_t>(PackedRows<T>::elements(8, k)));
    PackedRows<T>(together.data()).pack(x.data(), k, 8, k);
    std::vector<float> y(8 * kStripRows);
    compressed_tile<8>(RowsSideBySide<T>{together.data()}, packed.strip, y.data(), kStripRows);
    EXPECT_EQ(y, product(x, w, 8, kStripRows)) << k;

    const T* rows[2] = {x.data(), x.data() + k};
    y.resize(2 * kStripRows);
    compressed_tile<2>(LooseRows<T>{rows}, packed.strip, y.data(), kStripRows);
    EXPECT_EQ(y, product(std::vector<T>(x.begin(), x.begin() + 2 * k), w, 2, kStripRows)) << k;
  }
}

// All bits of numbers in all sixteen binades, by rows of x with a single one.
TYPED_TEST(Compression, KeepsEveryBit) {
  using T = TypeParam;
  constexpr std::int64_t k = 32;
  std::vector<T> w(kStripRows * k);
  std::mt19937 words(8);
  for (T& number : w) {
    const float size =
        std::ldexp(1.0f + static_cast<float>(words() >> 8) / 16777216.0f, static_cast<int>(words() % 16) - 9);
    number = T(words() % 2 == 0 ? size : -size);
  }
  const PackedStrip<T> packed(w, k, std::ldexp(1.0f, -9));
  for (std::int64_t column = 0; column < k; ++column) {
    std::vector<T> x(k);
    x[static_cast<std::size_t>(column)] = T(1.0f);
    const T* rows[1] = {x.data()};
    float y[kStripRows];
    compressed_tile<1>(LooseRows<T>{rows}, packed.strip, y, kStripRows);
    for (std::int64_t row = 0; row < kStripRows; ++row)
      EXPECT_EQ(y[row], load(w[static_cast<std::size_t>(row * k + column)])) << row << " " << column;
  }
}

}  // namespace
}  // namespace coxswain
