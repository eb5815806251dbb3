// The clipped policy loss: worked by hand on both sides of both bounds, against finite differences, and with padding.
#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

template <class T>
struct Tokens {
  Host<T> token_loss, old_log_probs, advantages, weights, gradient;
  Host<double> terms{Shape{4}};
  double clip = 0.2;

  explicit Tokens(std::int64_t m) : token_loss({m}), old_log_probs({m}), advantages({m}), weights({m}), gradient({m}) {}
  double loss(Backend& backend) {
    backend.policy_loss({token_loss, old_log_probs, advantages, weights, clip, gradient, terms});
    return terms[0];
  }
};

TEST(PolicyLoss, WorkedByHand) {
  const auto backend = make_tested_backend();
  Tokens<double> tokens(6);
  // Old probability 0.5 everywhere; the new one makes the ratio. Clip 0.2: bounds 0.8 and 1.2.
  const std::vector<double> ratio = {1.1, 1.5, 0.5, 1.5, 0.5, 1.0}, advantage = {2, 2, 2, -1, -1, 3};
  for (std::int64_t i = 0; i < 6; ++i) {
    const auto at = static_cast<std::size_t>(i);
    tokens.old_log_probs[i] = std::log(0.5);
    tokens.token_loss[i] = -std::log(0.5 * ratio[at]);
    tokens.advantages[i] = advantage[at];
    tokens.weights[i] = i == 5 ? 0 : 0.5;
  }
  tokens.loss(*backend);
  // r 1.1, A 2: inside, max(-2.2, -2.2) = -2.2, gradient A r = 2.2
  // r 1.5, A 2: max(-3.0, -2.4) = -2.4, clipping is active
  // r 0.5, A 2: max(-1.0, -1.6) = -1.0, gradient 1.0: it may still rise
  // r 1.5, A -1: max(1.5, 1.2) = 1.5, gradient -1.5: it may still fall
  // r 0.5, A -1: max(0.5, 0.8) = 0.8, clipping is active
  // all times the weight 0.5; the last has none
  EXPECT_NEAR(tokens.terms[0], 0.5 * (-2.2 - 2.4 - 1.0 + 1.5 + 0.8), 1e-14);
  EXPECT_DOUBLE_EQ(tokens.terms[1], 0.5 * 2);
  // r - 1 - log r: 0.1 - 0.0953101798 = 0.0046898202; twice 0.5 - 0.4054651081 = 0.0945348919;
  // twice -0.5 + 0.6931471806 = 0.1931471806
  EXPECT_NEAR(tokens.terms[2], 0.5 * (0.0046898202 + 2 * 0.0945348919 + 2 * 0.1931471806), 1e-9);
  // -log p: log 2 less log r; product of the ratios 1.1 * 1.5 * 0.5 * 1.5 * 0.5 = 0.61875
  EXPECT_NEAR(tokens.terms[3], 0.5 * (5 * std::log(2.0) - std::log(0.61875)), 1e-14);
  expect_close(tokens.gradient, {1.1, 0, 0.5, -0.75, 0, 0}, 1e-14, "gradient");
}

TEST(PolicyLoss, GradientEqualsFiniteDifferences) {
  const auto backend = make_tested_backend();
  Tokens<double> tokens(200);
  tokens.token_loss = Host<double>::random({200}, 1);
  tokens.advantages = Host<double>::random({200}, 2, 3.0);
  tokens.weights = Host<double>::random({200}, 3);
  const auto change = Host<double>::random({200}, 4, 0.5);
  for (std::int64_t i = 0; i < 200; ++i) tokens.old_log_probs[i] = -tokens.token_loss[i] + change.at(i);
  for (const double clip : {0.1, 0.3}) {
    tokens.clip = clip;
    tokens.loss(*backend);
    const Host<double> gradient = tokens.gradient;
    EXPECT_GT(tokens.terms[1] * tokens.terms[1], 0);  // some are clipped
    expect_gradient(
        tokens.token_loss, gradient, [&] { return tokens.loss(*backend); }, "dtoken_loss", 200);
  }
}

TEST(PolicyLoss, FloatAgreesWithDoubleOnAnyThreadsAndPaddingMayHoldAnything) {
  const std::int64_t m = 20000;
  Tokens<float> tokens(m);
  tokens.token_loss = Host<float>::random({m}, 1);
  tokens.advantages = Host<float>::random({m}, 2, 3.0);
  tokens.weights = Host<float>::random({m}, 3);
  Tokens<double> wide(m);
  for (std::int64_t i = 0; i < m; ++i) {
    tokens.old_log_probs[i] = -tokens.token_loss[i] + 0.1f * static_cast<float>(i % 7 - 3);
    if (i % 5 == 0) tokens.weights[i] = 0;
    wide.token_loss[i] = tokens.token_loss[i], wide.old_log_probs[i] = tokens.old_log_probs[i];
    wide.advantages[i] = tokens.advantages[i], wide.weights[i] = tokens.weights[i];
    if (i % 5 == 0) tokens.token_loss[i] = tokens.advantages[i] = std::numeric_limits<float>::quiet_NaN();
    if (i % 10 == 0) tokens.old_log_probs[i] = -1e30f;
  }
  std::vector<Tokens<float>> runs;
  on_one_and_two_threads([&](int) {
    const auto backend = make_tested_backend();
    tokens.loss(*backend);
    runs.push_back(tokens);
  });
  EXPECT_TRUE(runs[0].gradient.same_bits(runs[1].gradient));
  EXPECT_TRUE(runs[0].terms.same_bits(runs[1].terms));
  wide.loss(*make_tested_backend());
  expect_close(tokens.gradient, wide.gradient.doubles(), 1e-6, "gradient");
  expect_close(tokens.terms, wide.terms.doubles(), 1e-12, "terms");
}

TEST(PolicyLoss, SaysWhatIsWrong) {
  const auto backend = make_tested_backend();
  Tokens<float> tokens(3);
  tokens.clip = 0;
  EXPECT_THROW(tokens.loss(*backend), std::invalid_argument);
  tokens.clip = 0.2;
  tokens.advantages = Host<float>({2});
  EXPECT_THROW(tokens.loss(*backend), std::invalid_argument);
}

}  // namespace
}  // namespace coxswain::testing
