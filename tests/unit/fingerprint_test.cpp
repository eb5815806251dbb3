#include "io/fingerprint.h"

#include <gtest/gtest.h>

#include <vector>

namespace coxswain {

namespace {

// The formula of fingerprint.h for one element, written out once more.
std::uint64_t of_element(std::uint64_t index, std::uint64_t bits) {
  std::uint64_t h = ((index + 1) * 11400714819323198485u) ^ (bits * 15485907386658061715u);
  h = (h ^ (h >> 32)) * 18397679294719823053u;
  return h ^ (h >> 29);
}

TEST(Fingerprint, IsTheSumOverElements) {
  const std::vector<std::uint32_t> x = {0, 1, 0x3f800000u, 0xffffffffu, 7, 0x80000000u};
  std::uint64_t expected = 0;
  for (std::size_t i = 0; i < x.size(); ++i) expected += of_element(i, x[i]);
  EXPECT_EQ(fingerprint(DType::f32, x.data(), Shape{2, 3}, Shape{0, 0}, Shape{2, 3}), expected);
  EXPECT_EQ(fingerprint(DType::i32, x.data(), Shape{6}, Shape{0}, Shape{6}), expected);
  const std::uint16_t small[2] = {0x3f80, 0xffff};
  EXPECT_EQ(fingerprint(DType::bf16, small, Shape{9}, Shape{4}, Shape{2}),
            of_element(4, 0x3f80) + of_element(5, 0xffff));
  const std::uint64_t wide = 0xfedcba9876543210u;
  EXPECT_EQ(fingerprint(DType::f64, &wide, Shape{}, Shape{}, Shape{}), of_element(0, wide));
}

// All boxes of a cut, in every dimension, add up to the whole.
TEST(Fingerprint, DoesNotDependOnTheCut) {
  const Shape global{5, 7, 33};
  std::vector<std::uint32_t> x(static_cast<std::size_t>(global.elements()));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint32_t>(i * i * 2654435761u);
  const std::uint64_t whole = fingerprint(DType::f32, x.data(), global, Shape{0, 0, 0}, global);
  for (int dim = 0; dim < 3; ++dim)
    for (std::int64_t cut = 1; cut < global[dim]; cut += 2) {
      std::uint64_t sum = 0;
      for (const bool second : {false, true}) {
        Shape offset{0, 0, 0}, count = global;
        offset[dim] = second ? cut : 0;
        count[dim] = second ? global[dim] - cut : cut;
        std::vector<std::uint32_t> box;
        for (std::int64_t i = 0; i < count[0]; ++i)
          for (std::int64_t j = 0; j < count[1]; ++j)
            for (std::int64_t k = 0; k < count[2]; ++k)
              box.push_back(x[static_cast<std::size_t>(((offset[0] + i) * 7 + offset[1] + j) * 33 + offset[2] + k)]);
        sum += fingerprint(DType::f32, box.data(), global, offset, count);
      }
      EXPECT_EQ(sum, whole) << "dimension " << dim << " cut at " << cut;
    }
}

TEST(Fingerprint, SeesChangesAndSwaps) {
  std::vector<std::uint32_t> x(1000, 5);
  const Shape global{1000}, zero{0};
  const std::uint64_t before = fingerprint(DType::f32, x.data(), global, zero, global);
  for (std::size_t i = 0; i < x.size(); i += 37)
    for (int bit = 0; bit < 32; ++bit) {
      x[i] ^= 1u << bit;
      EXPECT_NE(fingerprint(DType::f32, x.data(), global, zero, global), before);
      std::swap(x[i], x[(i + 1) % 1000]);
      const std::uint64_t moved = fingerprint(DType::f32, x.data(), global, zero, global);
      std::swap(x[i], x[(i + 1) % 1000]);
      EXPECT_NE(fingerprint(DType::f32, x.data(), global, zero, global), moved);
      x[i] ^= 1u << bit;
    }
}

TEST(Fingerprint, HashIsXxh3) {
  EXPECT_EQ(hexadecimal(hash_bytes("", 0)), "2d06800538d394c2");  // published test value of XXH3, seed 0
}

}  // namespace

}  // namespace coxswain
