// Attention: bands, document borders, grouped heads, odd lengths and head sizes, strided views.
#include "tests/kernels/attention_case.h"

namespace coxswain::testing {
namespace {

struct Expected {
  std::vector<double> out, log_sum_exp;
};

// The definition, in double, with one row of weights at a time.
template <class T>
Expected reference(const Case<T>& x) {
  const auto& s = x.s;
  Expected expected;
  expected.out.assign(static_cast<std::size_t>(s.b * s.t * s.a * s.d), 0.0);
  for (std::int64_t b = 0; b < s.b; ++b)
    for (std::int64_t head = 0; head < s.a; ++head)
      for (std::int64_t i = 0; i < s.t; ++i) {
        const std::int64_t group = s.a + head / (s.a / s.g);
        std::vector<double> weights(static_cast<std::size_t>(s.t), 0.0);
        double total = 0;
        for (std::int64_t j = 0; j < s.t; ++j) {
          if (!x.sees(b, i, j)) continue;
          double score = 0;
          for (std::int64_t c = 0; c < s.d; ++c) score += x.element(b, i, head, c) * x.element(b, j, group, c);
          total += weights[static_cast<std::size_t>(j)] = std::exp(score * x.scale);
        }
        expected.log_sum_exp.push_back(std::log(total));
        for (std::int64_t j = 0; j < s.t; ++j)
          for (std::int64_t c = 0; c < s.d; ++c)
            expected.out[static_cast<std::size_t>(((b * s.t + i) * s.a + head) * s.d + c)] +=
                weights[static_cast<std::size_t>(j)] / total * x.element(b, j, group + s.g, c);
      }
  return expected;
}

const std::vector<Shape4> kShapes = {
    {2, 5, 2, 2, 4},            // smaller than one block
    {1, 64, 1, 1, 32},          // one block exactly
    {2, 131, 4, 2, 16},         // grouped heads, odd length
    {1, 200, 2, 2, 80, 33},     // a band narrower than a block
    {1, 321, 1, 1, 8, 150},     // a band over several blocks
    {2, 190, 3, 1, 12, 0, 1},   // document borders, one key/value head
    {1, 300, 2, 1, 4, 100, 1},  // band and documents
    {1, 150, 1, 1, 5, 1},       // every token sees itself only
};

template <class T>
class Attention : public ::testing::Test {};
using Types = ::testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(Attention, Types);

TYPED_TEST(Attention, AgreesWithReference) {
  using T = TypeParam;
  const auto backend = make_tested_backend();
  for (const Shape4& shape : kShapes) {
    Case<T> x(shape, 2.0);
    x.forward(*backend);
    const Expected expected = reference(x);
    SCOPED_TRACE("t " + std::to_string(shape.t));
    expect_close(x.out, expected.out, tolerance_of<T>(), "out");
    expect_close(x.log_sum_exp, expected.log_sum_exp, std::is_same_v<T, double> ? 1e-11 : 1e-5, "log_sum_exp");
  }
}

TEST(AttentionGradient, EqualsFiniteDifferences) {
  const auto backend = make_tested_backend();
  for (Shape4 shape : kShapes) {
    SCOPED_TRACE("t " + std::to_string(shape.t));
    shape.d = std::min<std::int64_t>(shape.d, 8);  // for time's sake
    Case<double> x(shape);
    x.forward(*backend);
    x.backward(*backend);
    const auto loss = [&] {
      x.forward(*backend);
      return weighted(x.out, x.dout);
    };
    expect_gradient(x.projection, x.gradient, loss, "dq, dk, dv", 31);
  }
}

// The gradient of narrow types against that of double, on the values as rounded.
template <class T>
void expect_gradient_of_double(const Shape4& shape, double tolerance) {
  const auto backend = make_tested_backend();
  Case<T> x(shape);
  Case<double> exact(shape);
  exact.projection.values() = x.projection.doubles();
  exact.dout.values() = x.dout.doubles();
  x.forward(*backend);
  x.backward(*backend);
  exact.forward(*backend);
  exact.backward(*backend);
  SCOPED_TRACE("t " + std::to_string(shape.t));
  expect_close(x.gradient, exact.gradient.doubles(), tolerance, "dq, dk, dv");
}

TEST(AttentionGradient, NarrowTypesAgreeWithDouble) {
  for (const Shape4& shape : kShapes) {
    expect_gradient_of_double<float>(shape, 1e-5);
    expect_gradient_of_double<bf16>(shape, 2e-2);
  }
  expect_gradient_of_double<float>({1, 260, 2, 1, 128}, 1e-5);
  expect_gradient_of_double<bf16>({1, 260, 1, 1, 96}, 2e-2);
}

template <class T>
void expect_equal_bits_on_threads(const Shape4& shape) {
  std::vector<Case<T>> results;
  on_one_and_two_threads([&](int) {
    const auto backend = make_tested_backend();
    results.emplace_back(shape);
    results.back().forward(*backend);
    results.back().backward(*backend);
  });
  EXPECT_TRUE(results[0].out.same_bits(results[1].out));
  EXPECT_TRUE(results[0].log_sum_exp.same_bits(results[1].log_sum_exp));
  EXPECT_TRUE(results[0].gradient.same_bits(results[1].gradient)) << "t " << shape.t;
}

// With one or three key/value heads two threads go over blocks in two passes and one thread in one: both ways are met.
TEST(AttentionGradient, BitsDoNotDependOnThreads) {
  for (const Shape4& shape : kShapes) {
    expect_equal_bits_on_threads<float>(shape);
    expect_equal_bits_on_threads<bf16>(shape);
  }
  expect_equal_bits_on_threads<float>({1, 520, 3, 3, 64});
  expect_equal_bits_on_threads<bf16>({1, 520, 3, 3, 64});
  expect_equal_bits_on_threads<bf16>({1, 333, 4, 1, 32, 0, 1});
}

TEST(Attention, LargeScoresStayFinite) {
  const auto backend = make_tested_backend();
  Case<float> x({1, 140, 1, 1, 16}, 60.0);
  x.forward(*backend);
  x.backward(*backend);
  for (std::int64_t i = 0; i < x.out.size(); ++i) ASSERT_TRUE(std::isfinite(x.out[i]));
  for (std::int64_t i = 0; i < x.gradient.size(); ++i) ASSERT_TRUE(std::isfinite(x.gradient[i]));
}

}  // namespace
}  // namespace coxswain::testing
