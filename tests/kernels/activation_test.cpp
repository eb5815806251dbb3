// Element functions and the gated feed-forward.
#include "kernels/cpu/math.h"
#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

double relative_error(double actual, double expected) { return std::abs(actual - expected) / std::abs(expected); }

TEST(Math, FloatFormsAreAccurate) {
  for (double step = -20; step < 20; step += 0.00373) {
    const auto x = static_cast<float>(step);
    const double exact = x;
    ASSERT_LE(relative_error(exp_fast(x), std::exp(exact)), 2e-7) << x;
    ASSERT_LE(relative_error(tanh_fast(x), std::tanh(exact)), 4e-7) << x;
    const double u = 0.7978845608028654 * (exact + 0.044715 * exact * exact * exact);
    ASSERT_LE(std::abs(gelu(x) - 0.5 * exact * (1 + std::tanh(u))), 1e-6 * (1 + std::abs(exact))) << x;
    ASSERT_LE(std::abs(silu(x) - exact / (1 + std::exp(-exact))), 1e-6 * (1 + std::abs(exact))) << x;
    ASSERT_LE(std::abs(gelu_gradient(x) - gelu_gradient(exact)), 4e-6) << x;
    ASSERT_LE(std::abs(silu_gradient(x) - silu_gradient(exact)), 2e-6) << x;
  }
}

TEST(Math, LimitsOfExp) {
  EXPECT_EQ(exp_fast(0.0f), 1.0f);
  EXPECT_EQ(exp_fast(-INFINITY), 0.0f);
  EXPECT_EQ(exp_fast(-1000.0f), 0.0f);
  EXPECT_EQ(exp_fast(INFINITY), INFINITY);
  EXPECT_TRUE(std::isnan(exp_fast(NAN)));
  EXPECT_TRUE(std::isfinite(exp_fast(88.0f)));
}

TEST(Math, BitsDoNotDependOnThePlaceInARow) {
  auto x = Host<float>::random({301}, 1, 4.0);
  Host<float> row({301}), alone({301});
  activate_row(Activation::gelu, x.values().data(), row.values().data(), 301);
  for (std::int64_t i = 0; i < 301; ++i) activate_row(Activation::gelu, &x[i], &alone[i], 1);
  EXPECT_TRUE(row.same_bits(alone));
  activate_gradient_row(Activation::silu, x.values().data(), x.values().data(), row.values().data(), 301);
  for (std::int64_t i = 0; i < 301; ++i) activate_gradient_row(Activation::silu, &x[i], &x[i], &alone[i], 1);
  EXPECT_TRUE(row.same_bits(alone));
}

template <class T>
class Gated : public ::testing::Test {};
using Types = ::testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(Gated, Types);

TYPED_TEST(Gated, AgreesWithReferenceOnStridedRows) {
  using T = TypeParam;
  const auto backend = make_tested_backend();
  const std::int64_t m = 4, f = 37;
  auto both = Host<T>::random({m, 2 * f}, 1, 2.0);  // gate and up side by side, as one product leaves them
  const TensorView gate = both.view().slice(1, 0, f), up = both.view().slice(1, f, f);
  Host<T> y({m, f});
  for (const Activation activation : {Activation::silu, Activation::gelu}) {
    backend->gated(activation, gate, up, y);
    std::vector<double> expected;
    for (std::int64_t i = 0; i < m * f; ++i) {
      const double g = both.at(i / f * 2 * f + i % f), u = both.at(i / f * 2 * f + f + i % f);
      const double tanh = std::tanh(0.7978845608028654 * (g + 0.044715 * g * g * g));
      expected.push_back(u * (activation == Activation::silu ? g / (1 + std::exp(-g)) : 0.5 * g * (1 + tanh)));
    }
    expect_close(y, expected, tolerance_of<T>(), "y");
  }
}

TEST(GatedGradient, EqualsFiniteDifferences) {
  const auto backend = make_tested_backend();
  for (const Activation activation : {Activation::none, Activation::silu, Activation::gelu}) {
    auto gate = Host<double>::random({3, 11}, 1, 2.0), up = Host<double>::random({3, 11}, 2);
    auto dy = Host<double>::random({3, 11}, 3);
    Host<double> y({3, 11}), dgate({3, 11}), dup({3, 11});
    const auto loss = [&] {
      backend->gated(activation, gate, up, y);
      return weighted(y, dy);
    };
    backend->gated_gradient(activation, gate, up, dy, dgate, dup);
    expect_gradient(gate, dgate, loss, "dgate");
    expect_gradient(up, dup, loss, "dup");
  }
}

TEST(GatedGradient, BitsDoNotDependOnThreads) {
  auto gate = Host<bf16>::random({131, 133}, 1, 2.0), up = Host<bf16>::random({131, 133}, 2);
  auto dy = Host<bf16>::random({131, 133}, 3);
  std::vector<Host<bf16>> results;
  on_one_and_two_threads([&](int) {
    const auto backend = make_tested_backend();
    Host<bf16> dgate({131, 133}), dup({131, 133});
    backend->gated_gradient(Activation::silu, gate, up, dy, dgate, dup);
    results.push_back(dgate);
    results.push_back(dup);
  });
  EXPECT_TRUE(results[0].same_bits(results[2]));
  EXPECT_TRUE(results[1].same_bits(results[3]));
}

}  // namespace
}  // namespace coxswain::testing
