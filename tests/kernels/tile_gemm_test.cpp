// One-thread products against plain loops in double: odd extents, both orders of both factors, gaps between rows.
#include "kernels/cpu/tile_gemm.h"

#include "tests/kernels/reference.h"

namespace coxswain {
namespace {

using testing::expect_close;
using testing::Host;

struct Layout {
  bool a_transposed = false, b_transposed = false;
  std::int64_t gap = 0;  // elements between rows
};

// Runs one product and compares it; returns C's bits.
template <class T, class C>
Host<C> expect_product(std::int64_t m, std::int64_t n, std::int64_t k, const Layout& layout, bool accumulate) {
  TileGemmShape s;
  s.m = m, s.n = n, s.k = k;
  const std::int64_t a_lead = (layout.a_transposed ? m : k) + layout.gap;
  const std::int64_t b_lead = (layout.b_transposed ? k : n) + layout.gap;
  s.a_row = layout.a_transposed ? 1 : a_lead, s.a_column = layout.a_transposed ? a_lead : 1;
  s.b_row = layout.b_transposed ? 1 : b_lead, s.b_column = layout.b_transposed ? b_lead : 1;
  s.c_row = n + layout.gap;
  s.a = s.b = dtype_of<T>(), s.c = dtype_of<C>();
  s.accumulate = accumulate;
  Host<T> a = Host<T>::random({(layout.a_transposed ? k : m) * a_lead}, 1);
  Host<T> b = Host<T>::random({(layout.b_transposed ? n : k) * b_lead}, 2);
  Host<C> c = Host<C>::random({m * s.c_row}, 3);
  std::vector<double> expected = c.doubles();
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (std::int64_t l = 0; l < k; ++l)
        sum += a.at(i * s.a_row + l * s.a_column) * b.at(l * s.b_row + j * s.b_column);
      double& value = expected[static_cast<std::size_t>(i * s.c_row + j)];
      value = accumulate ? value + sum : sum;
    }
  TileGemm::get(s).run(a.values().data(), b.values().data(), c.values().data());
  const double tolerance = std::is_same_v<C, bf16> ? 1e-2 : std::is_same_v<C, float> ? 2e-5 : 1e-12;
  expect_close(c, expected, tolerance, "C");
  return c;
}

template <class T, class C>
void expect_products(bool accumulate) {
  const std::vector<std::array<std::int64_t, 3>> extents = {{1, 1, 1},    {1, 7, 5},    {3, 1, 2},    {5, 7, 1},
                                                            {64, 64, 64}, {33, 65, 17}, {1, 128, 96}, {70, 31, 129}};
  for (const auto& [m, n, k] : extents)
    for (const bool a_transposed : {false, true})
      for (const bool b_transposed : {false, true})
        for (const std::int64_t gap : {0, 5}) {
          SCOPED_TRACE(::testing::Message() << m << " x " << n << " x " << k << ", A " << a_transposed << ", B "
                                            << b_transposed << ", gap " << gap);
          expect_product<T, C>(m, n, k, {a_transposed, b_transposed, gap}, accumulate);
        }
}

TEST(TileGemm, F32) { expect_products<float, float>(false); }
TEST(TileGemm, F32Accumulates) { expect_products<float, float>(true); }
TEST(TileGemm, Bf16ToF32) { expect_products<bf16, float>(false); }
TEST(TileGemm, Bf16ToF32Accumulates) { expect_products<bf16, float>(true); }
TEST(TileGemm, Bf16ToBf16) { expect_products<bf16, bf16>(false); }
TEST(TileGemm, F64) { expect_products<double, double>(false); }
TEST(TileGemm, F64Accumulates) { expect_products<double, double>(true); }

// The two faults of the library's own threading: bits by thread count, and scratchpads shared by threads.
TEST(TileGemm, SameBitsAloneAndBesideOthers) {
  const auto run = [] { return expect_product<bf16, float>(48, 96, 640, {false, true, 0}, false); };
  const Host<float> alone = run();
  testing::on_one_and_two_threads([&](int threads) {
    EXPECT_TRUE(run().same_bits(alone)) << threads << " threads allowed, outside a parallel region";
    std::vector<int> same(32, 0);
#pragma omp parallel for schedule(dynamic)
    for (std::size_t i = 0; i < same.size(); ++i) same[i] = run().same_bits(alone) ? 1 : 0;
    EXPECT_EQ(std::count(same.begin(), same.end(), 1), 32) << threads << " threads";
  });
}

TEST(TileGemm, RefusesWhatItCannotDo) {
  TileGemmShape shape;
  shape.m = shape.n = shape.k = 4;
  shape.a_row = shape.b_row = shape.c_row = 4;
  shape.a = DType::bf16;
  EXPECT_THROW(TileGemm::get(shape), std::invalid_argument);  // mixed factors
  shape.a = DType::f32, shape.a_row = 8, shape.a_column = 2;
  EXPECT_THROW(TileGemm::get(shape), std::invalid_argument);  // dense in no dimension
  shape.a_column = 1, shape.k = 0;
  EXPECT_THROW(TileGemm::get(shape), std::invalid_argument);
}

}  // namespace
}  // namespace coxswain
