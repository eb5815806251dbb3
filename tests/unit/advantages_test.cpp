// Advantages and whitening, worked by hand.
#include "rl/advantages.h"

#include <gtest/gtest.h>

#include <cmath>

namespace coxswain {
namespace {

Episode episode_of(std::vector<float> rewards, std::vector<float> values) {
  Episode episode;
  episode.prompt_length = 2;
  episode.tokens.resize(2 + rewards.size());
  episode.rewards = std::move(rewards);
  episode.values = std::move(values);
  return episode;
}

void expect_floats(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) EXPECT_FLOAT_EQ(actual[i], expected[i]) << i;
}

TEST(Advantages, ThreeTokensByHand) {
  Rollout rollout;
  rollout.episodes.push_back(episode_of({0.5f, -0.25f, 2}, {1, 2, 1}));
  estimate_advantages(rollout, 0.5, 0.5);
  // delta_2 = 2 - 1 = 1                             A_2 = 1
  // delta_1 = -0.25 + 0.5 * 1 - 2 = -1.75           A_1 = -1.75 + 0.25 * 1 = -1.5
  // delta_0 = 0.5 + 0.5 * 2 - 1 = 0.5               A_0 = 0.5 + 0.25 * -1.5 = 0.125
  expect_floats(rollout.episodes[0].advantages, {0.125f, -1.5f, 1});
  expect_floats(rollout.episodes[0].returns, {1.125f, 0.5f, 2});
}

TEST(Advantages, LambdaZeroIsOneStepAndLambdaOneIsTheSumOfRewards) {
  Rollout rollout;
  rollout.episodes.push_back(episode_of({1, 2, 4}, {0.5f, 0.25f, 3}));
  estimate_advantages(rollout, 1, 0);  // r_j + V_{j+1} - V_j
  expect_floats(rollout.episodes[0].advantages, {0.75f, 4.75f, 1});
  estimate_advantages(rollout, 1, 1);  // what is still to come, less V_j
  expect_floats(rollout.episodes[0].returns, {7, 6, 4});
  expect_floats(rollout.episodes[0].advantages, {6.5f, 5.75f, 1});
}

TEST(Advantages, ResponsesDoNotTouchEachOther) {
  Rollout together, alone;
  together.episodes = {episode_of({1, 2}, {3, 4}), episode_of({}, {}), episode_of({5}, {6}),
                       episode_of({1, 0, 1, 0}, {0, 1, 0, 1})};
  alone.episodes = {together.episodes[3]};
  estimate_advantages(together, 0.9, 0.8);
  estimate_advantages(alone, 0.9, 0.8);
  EXPECT_EQ(together.episodes[3].advantages, alone.episodes[0].advantages);
  EXPECT_EQ(together.episodes[2].advantages, std::vector<float>{-1});
  EXPECT_TRUE(together.episodes[1].advantages.empty());
}

TEST(Advantages, NumbersMustBelongToTheResponse) {
  Rollout rollout;
  rollout.episodes.push_back(episode_of({1, 2}, {3, 4}));
  rollout.episodes[0].values.pop_back();
  EXPECT_THROW(estimate_advantages(rollout, 1, 1), std::invalid_argument);
}

TEST(Whitening, OverAllTokensOfAllResponsesByHand) {
  Rollout rollout;
  rollout.episodes = {episode_of({1, 3}, {0, 0}), episode_of({}, {}), episode_of({8}, {0})};
  Rollout kept = rollout;
  // mean (1 + 3 + 8) / 3 = 4; population variance (9 + 1 + 16) / 3 = 26/3
  const double deviation = std::sqrt(26.0 / 3 + 1e-8);
  const auto scaled = [&](double x) { return static_cast<float>(x / deviation); };
  whiten(rollout, &Episode::rewards, WhitenedMean::zero);
  expect_floats(rollout.episodes[0].rewards, {scaled(-3), scaled(-1)});
  expect_floats(rollout.episodes[2].rewards, {scaled(4)});
  whiten(kept, &Episode::rewards, WhitenedMean::kept);
  expect_floats(kept.episodes[0].rewards,
                {static_cast<float>(4 - 3 / deviation), static_cast<float>(4 - 1 / deviation)});
  expect_floats(kept.episodes[2].rewards, {static_cast<float>(4 + 4 / deviation)});
}

TEST(Whitening, EqualNumbersAndNoneAtAllStayFinite) {
  Rollout rollout;
  whiten(rollout, &Episode::advantages, WhitenedMean::zero);
  rollout.episodes = {episode_of({2, 2, 2}, {0, 0, 0})};
  whiten(rollout, &Episode::rewards, WhitenedMean::zero);
  EXPECT_EQ(rollout.episodes[0].rewards, (std::vector<float>{0, 0, 0}));
}

}  // namespace
}  // namespace coxswain
