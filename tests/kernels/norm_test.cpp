// LayerNorm, RMSNorm, the residual stream and its dropout.
#include "kernels/philox.h"
#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

// The operation written down once more, in double, row by row. Rounds the sum to T as the contract asks.
template <class T>
struct Reference {
  std::vector<double> sum, y;
  Reference(NormKind kind, const Host<T>& x, const Host<T>& delta, const Host<T>& bias, const Host<T>& gamma,
            const Host<T>& beta) {
    const std::int64_t m = x.shape()[0], h = x.shape()[1];
    for (std::int64_t r = 0; r < m; ++r) {
      double mean = 0, square = 0;
      for (std::int64_t c = 0; c < h; ++c) {
        const double value = x.at(r * h + c) + delta.at(r * h + c) + bias.at(c);
        sum.push_back(std::is_same_v<T, bf16> ? static_cast<float>(bf16(static_cast<float>(value))) : value);
        mean += kind == NormKind::layer ? sum.back() / static_cast<double>(h) : 0;
      }
      for (std::int64_t c = 0; c < h; ++c) square += std::pow(sum[static_cast<std::size_t>(r * h + c)] - mean, 2);
      for (std::int64_t c = 0; c < h; ++c)
        y.push_back((sum[static_cast<std::size_t>(r * h + c)] - mean) /
                        std::sqrt(square / static_cast<double>(h) + 1e-5f) * gamma.at(c) +
                    (kind == NormKind::layer ? beta.at(c) : 0.0));
    }
  }
};

template <class T>
class ResidualNorm : public ::testing::Test {};
using Types = ::testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(ResidualNorm, Types);

TYPED_TEST(ResidualNorm, AgreesWithReference) {
  using T = TypeParam;
  const auto backend = make_tested_backend();
  for (const auto& [kind, h] : {std::pair(NormKind::layer, 83), std::pair(NormKind::rms, 83),
                                std::pair(NormKind::layer, 301), std::pair(NormKind::rms, 301)}) {
    const std::int64_t m = 5;
    auto x = Host<T>::random({m, h}, 1), delta = Host<T>::random({m, h}, 2), bias = Host<T>::random({h}, 3);
    auto gamma = Host<T>::random({h}, 4), beta = Host<T>::random({h}, 5);
    Host<T> sum({m, h}), y({m, h});
    Host<std::conditional_t<std::is_same_v<T, double>, double, float>> stats({m, 2});
    Backend::ResidualNorm op;
    op.kind = kind;
    op.x = x, op.delta = delta, op.bias = bias, op.gamma = gamma, op.sum = sum, op.y = y, op.stats = stats;
    if (kind == NormKind::layer) op.beta = beta;
    backend->residual_norm(op);
    const Reference<T> expected(kind, x, delta, bias, gamma, beta);
    expect_close(sum, expected.sum, tolerance_of<T>(), "sum");
    expect_close(y, expected.y, tolerance_of<T>(), "y");

    // Without delta the norm is that of x: what the recomputation of a layer asks for gives the same bits.
    Host<T> again({m, h});
    op.x = sum;
    op.delta = op.bias = op.sum = {};
    op.y = again;
    backend->residual_norm(op);
    EXPECT_TRUE(again.same_bits(y));
  }
}

struct Case {
  std::int64_t m = 70, h = 19;  // more than two blocks of rows
  Host<double> x = Host<double>::random({m, h}, 1), delta = Host<double>::random({m, h}, 2);
  Host<double> bias = Host<double>::random({h}, 3), gamma = Host<double>::random({h}, 4);
  Host<double> beta = Host<double>::random({h}, 5);
  Host<double> y_weight = Host<double>::random({m, h}, 6), sum_weight = Host<double>::random({m, h}, 7);
  Host<double> sum = Host<double>({m, h}), y = Host<double>({m, h}), stats = Host<double>({m, 2});
  DropoutSpec dropout{0.3f, {5, 9}, 3};

  double loss(Backend& backend, NormKind kind) {
    backend.residual_norm({.kind = kind,
                           .x = x,
                           .delta = delta,
                           .bias = bias,
                           .dropout = dropout,
                           .gamma = gamma,
                           .beta = kind == NormKind::layer ? beta.view() : TensorView(),
                           .sum = sum,
                           .y = y,
                           .stats = stats});
    return weighted(y, y_weight) + weighted(sum, sum_weight);
  }
};

TEST(NormGradient, EqualsFiniteDifferences) {
  const auto backend = make_tested_backend();
  for (const NormKind kind : {NormKind::layer, NormKind::rms}) {
    Case c;
    const auto loss = [&] { return c.loss(*backend, kind); };
    loss();
    Host<double> dx({c.m, c.h}), ddelta({c.m, c.h}), dgamma({c.h}), dbeta({c.h}), dbias({c.h});
    backend->norm_gradient({.kind = kind,
                            .x = c.sum,
                            .gamma = c.gamma,
                            .stats = c.stats,
                            .dy = c.y_weight,
                            .dresidual = c.sum_weight,
                            .dx = dx,
                            .dgamma = dgamma,
                            .dbeta = kind == NormKind::layer ? dbeta.view() : TensorView()});
    backend->dropout_gradient(dx, c.dropout, ddelta);
    for (std::int64_t i = 0; i < c.m * c.h; ++i) dbias[i % c.h] += ddelta[i];
    expect_gradient(c.x, dx, loss, "dx");
    expect_gradient(c.delta, ddelta, loss, "ddelta");
    expect_gradient(c.bias, dbias, loss, "dbias");
    expect_gradient(c.gamma, dgamma, loss, "dgamma");
    if (kind == NormKind::layer) expect_gradient(c.beta, dbeta, loss, "dbeta");

    // Parameter gradients accumulate.
    const Host<double> once = dgamma;
    backend->norm_gradient({.kind = kind,
                            .x = c.sum,
                            .gamma = c.gamma,
                            .stats = c.stats,
                            .dy = c.y_weight,
                            .dresidual = {},
                            .dx = dx,
                            .dgamma = dgamma,
                            .dbeta = kind == NormKind::layer ? dbeta.view() : TensorView()});
    for (std::int64_t i = 0; i < c.h; ++i) EXPECT_NEAR(dgamma[i], 2 * once.at(i), 1e-12);
  }
}

template <class T>
void expect_equal_bits_on_threads() {
  const std::int64_t m = 150, h = 133;
  auto x = Host<T>::random({m, h}, 1), delta = Host<T>::random({m, h}, 2), dy = Host<T>::random({m, h}, 3);
  auto gamma = Host<float>::random({h}, 4), beta = Host<float>::random({h}, 5);
  struct Results {
    Host<T> sum, y, dx;
    Host<float> dgamma, dbeta;
  };
  std::vector<Results> results;
  on_one_and_two_threads([&](int) {
    const auto backend = make_tested_backend();
    Results r{Host<T>({m, h}), Host<T>({m, h}), Host<T>({m, h}), Host<float>({h}), Host<float>({h})};
    Host<float> stats({m, 2});
    backend->residual_norm({.x = x,
                            .delta = delta,
                            .bias = {},
                            .dropout = {0.2f, {1, 2}, 7},
                            .gamma = gamma,
                            .beta = beta,
                            .sum = r.sum,
                            .y = r.y,
                            .stats = stats});
    backend->norm_gradient({.x = r.sum,
                            .gamma = gamma,
                            .stats = stats,
                            .dy = dy,
                            .dresidual = {},
                            .dx = r.dx,
                            .dgamma = r.dgamma,
                            .dbeta = r.dbeta});
    results.push_back(r);
  });
  EXPECT_TRUE(results[0].sum.same_bits(results[1].sum));
  EXPECT_TRUE(results[0].y.same_bits(results[1].y));
  EXPECT_TRUE(results[0].dx.same_bits(results[1].dx));
  EXPECT_TRUE(results[0].dgamma.same_bits(results[1].dgamma));
  EXPECT_TRUE(results[0].dbeta.same_bits(results[1].dbeta));
}

TEST(NormGradient, BitsDoNotDependOnThreads) {
  expect_equal_bits_on_threads<float>();
  expect_equal_bits_on_threads<bf16>();
}

TEST(Dropout, KeepsTheElementsThatPhiloxSays) {
  const auto backend = make_tested_backend();
  const std::int64_t m = 9, h = 37, first_row = 11;
  const DropoutSpec dropout{0.25f, {42, 7}, first_row};
  Host<float> x({m, h}), ones({m, h}), sum({m, h});
  std::fill(ones.values().begin(), ones.values().end(), 1.0f);
  backend->residual_add(x, ones, {}, dropout, sum);
  std::int64_t kept = 0;
  for (std::int64_t i = 0; i < m * h; ++i) {
    const auto element = static_cast<std::uint64_t>(first_row * h + i);
    const bool keep = philox(dropout.key, element / 4)[element % 4] >= 0x40000000u;  // 2^32 / 4
    kept += keep;
    ASSERT_FLOAT_EQ(sum[i], keep ? 4.0f / 3.0f : 0.0f) << i;
  }
  EXPECT_NEAR(static_cast<double>(kept) / static_cast<double>(m * h), 0.75, 0.08);
}

TEST(Dropout, MaskIsTheSameHoweverRowsAreSplit) {
  const auto backend = make_tested_backend();
  const std::int64_t m = 12, h = 21;
  auto x = Host<float>::random({m, h}, 1), delta = Host<float>::random({m, h}, 2), bias = Host<float>::random({h}, 3);
  Host<float> whole({m, h}), parts({m, h}), gradient({m, h}), gradient_parts({m, h});
  const DropoutSpec dropout{0.5f, {3, 4}, 100};
  backend->residual_add(x, delta, bias, dropout, whole);
  backend->dropout_gradient(x, dropout, gradient);
  for (const auto& [first, count] : {std::pair<std::int64_t, std::int64_t>{0, 5}, {5, 4}, {9, 3}}) {
    const auto rows = [first = first, count = count](Host<float>& host) { return host.view().slice(0, first, count); };
    const DropoutSpec part{0.5f, {3, 4}, 100 + first};
    backend->residual_add(rows(x), rows(delta), bias, part, rows(parts));
    backend->dropout_gradient(rows(x), part, rows(gradient_parts));
  }
  EXPECT_TRUE(parts.same_bits(whole));
  EXPECT_TRUE(gradient_parts.same_bits(gradient));
}

}  // namespace
}  // namespace coxswain::testing
