// Philox against Random123's published answers; normal numbers: their moments, and any box as a part of the whole.
#include "kernels/philox.h"
#include "tests/kernels/reference.h"

namespace coxswain {
namespace {

using testing::Host;

// The known answers of Random123 (kat_vectors, philox4x32 10): all zeros, all ones, digits of pi.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0}, 0), (std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint64_t ones = ~std::uint64_t{0};
  EXPECT_EQ(philox({ones, ones}, ones), (std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x299f31d0a4093822, 0x0370734413198a2e}, 0x85a308d3243f6a88),
            (std::array<std::uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
  EXPECT_EQ(philox_word({7, 9}, 11), philox({7, 9}, 2)[3]);
}

TEST(Normal, MomentsAndTails) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  Host<double> numbers({400, 500});
  backend->normal({{1234, 5}, 0.02, 500, 0, 0, numbers});
  double sum = 0, square = 0, cube = 0, fourth = 0, neighbours = 0;
  const auto n = static_cast<double>(numbers.size());
  for (std::int64_t i = 0; i < numbers.size(); ++i) {
    const double x = numbers[i] / 0.02;
    sum += x, square += x * x, cube += x * x * x, fourth += x * x * x * x;
    if (i > 0) neighbours += x * numbers[i - 1] / 0.02;
  }
  EXPECT_NEAR(sum / n, 0, 0.01);  // standard error 0.0022
  EXPECT_NEAR(square / n, 1, 0.015);
  EXPECT_NEAR(cube / n, 0, 0.04);
  EXPECT_NEAR(fourth / n, 3, 0.1);
  EXPECT_NEAR(neighbours / n, 0, 0.01);
}

void expect_boxes_of(std::int64_t rows, std::int64_t columns) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  const RandomKey key{42, 7};
  Host<float> whole({rows, columns});
  backend->normal({key, 1.5, columns, 0, 0, whole});
  testing::on_one_and_two_threads([&](int) {
    for (const auto& [row, column, height, width] :
         std::vector<std::array<std::int64_t, 4>>{{0, 0, 9, 5003}, {3, 1, 2, 4999}, {8, 5002, 1, 1}, {2, 4095, 3, 7}}) {
      Host<float> box({height, width + 2});
      backend->normal({key, 1.5, columns, row, column, box.view().slice(1, 1, width)});
      for (std::int64_t r = 0; r < height; ++r)
        for (std::int64_t c = 0; c < width; ++c)
          ASSERT_EQ(box[r * (width + 2) + 1 + c], whole[(row + r) * columns + column + c])
              << row + r << ", " << column + c;
    }
  });
  Host<bf16> rounded({1, columns});
  backend->normal({key, 1.5, columns, 4, 0, rounded});
  EXPECT_EQ(rounded[17].bits, bf16(whole[4 * columns + 17]).bits);
  Host<float> other({1, columns});
  backend->normal({{42, 8}, 1.5, columns, 0, 0, other});
  EXPECT_NE(other[0], whole[0]);
}

// Longer than one run; rows that start inside a block of four numbers, and rows of whole blocks.
TEST(Normal, AnyBoxIsAPartOfTheWhole) {
  expect_boxes_of(9, 5003);
  expect_boxes_of(9, 5004);
}

}  // namespace
}  // namespace coxswain
