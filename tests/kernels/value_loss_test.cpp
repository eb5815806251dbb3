// The clipped value loss: worked by hand, against finite differences, and with padding.
#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

template <class T>
struct States {
  Host<T> values, old_values, returns, weights, gradient;
  Host<double> terms{Shape{2}};
  double clip = 0.2;

  explicit States(std::int64_t m) : values({m}), old_values({m}), returns({m}), weights({m}), gradient({m}) {}
  double loss(Backend& backend) {
    backend.value_loss({values, old_values, returns, weights, clip, gradient, terms});
    return terms[0];
  }
};

TEST(ValueLoss, WorkedByHand) {
  const auto backend = make_tested_backend();
  States<double> states(5);
  states.values.values() = {1.1, 2.0, 2.0, 0.5, 7.0};
  states.old_values.values() = {1.0, 1.0, 1.0, 1.0, 0.0};
  states.returns.values() = {2.0, 3.0, 0.0, 0.0, 0.0};
  states.weights.values() = {0.25, 0.25, 0.25, 0.25, 0.0};
  // clip 0.2: v 1.1 is inside: (-0.9)^2 = 0.81
  // v 2.0 -> u 1.2, R 3: max(1.0, 3.24): clipping is active, it has come near enough
  // v 2.0 -> u 1.2, R 0: max(4.0, 1.44): gradient 2.0, it may come back
  // v 0.5 -> u 0.8, R 0: max(0.25, 0.64): clipping is active
  EXPECT_NEAR(states.loss(*backend), 0.5 * 0.25 * (0.81 + 3.24 + 4.0 + 0.64), 1e-14);
  EXPECT_DOUBLE_EQ(states.terms[1], 0.5);
  expect_close(states.gradient, {-0.225, 0, 0.5, 0, 0}, 1e-14, "gradient");
  states.clip = 0;  // none
  EXPECT_NEAR(states.loss(*backend), 0.5 * 0.25 * (0.81 + 1.0 + 4.0 + 0.25), 1e-14);
  EXPECT_EQ(states.terms[1], 0);
  expect_close(states.gradient, {-0.225, -0.25, 0.5, 0.125, 0}, 1e-14, "gradient");
}

TEST(ValueLoss, GradientEqualsFiniteDifferences) {
  const auto backend = make_tested_backend();
  States<double> states(200);
  states.values = Host<double>::random({200}, 1);
  states.old_values = Host<double>::random({200}, 2);
  states.returns = Host<double>::random({200}, 3);
  states.weights = Host<double>::random({200}, 4);
  for (const double clip : {0.0, 0.1, 0.7}) {
    states.clip = clip;
    states.loss(*backend);
    EXPECT_EQ(states.terms[1] != 0, clip != 0);  // some are clipped
    const Host<double> gradient = states.gradient;
    expect_gradient(
        states.values, gradient, [&] { return states.loss(*backend); }, "dvalues", 200);
  }
}

TEST(ValueLoss, FloatAgreesWithDoubleOnAnyThreadsAndPaddingMayHoldAnything) {
  const std::int64_t m = 20000;
  States<float> states(m);
  states.values = Host<float>::random({m}, 1);
  states.old_values = Host<float>::random({m}, 2);
  states.returns = Host<float>::random({m}, 3);
  states.weights = Host<float>::random({m}, 4);
  States<double> wide(m);
  for (std::int64_t i = 0; i < m; ++i) {
    if (i % 3 == 0) states.weights[i] = 0;
    wide.values[i] = states.values[i], wide.old_values[i] = states.old_values[i];
    wide.returns[i] = states.returns[i], wide.weights[i] = states.weights[i];
    if (i % 3 == 0) states.values[i] = states.returns[i] = std::numeric_limits<float>::quiet_NaN();
  }
  std::vector<States<float>> runs;
  on_one_and_two_threads([&](int) {
    const auto backend = make_tested_backend();
    states.loss(*backend);
    runs.push_back(states);
  });
  EXPECT_TRUE(runs[0].gradient.same_bits(runs[1].gradient));
  EXPECT_TRUE(runs[0].terms.same_bits(runs[1].terms));
  wide.loss(*make_tested_backend());
  expect_close(states.gradient, wide.gradient.doubles(), 1e-6, "gradient");
  expect_close(states.terms, wide.terms.doubles(), 1e-12, "terms");
}

}  // namespace
}  // namespace coxswain::testing
