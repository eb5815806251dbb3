// Episodes as micro-batches, and a model's outputs back into episodes, by cases worked by hand.
#include "rl/episode_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace coxswain {
namespace {

using testing::Each;
using testing::ElementsAre;

// Two responses, of two tokens and of one.
Rollout two_episodes() {
  Rollout rollout;
  rollout.episodes.resize(2);
  Episode& first = rollout.episodes[0];
  first.tokens = {1, 2, 3, 4};
  first.prompt_length = 2;
  first.log_probs = {-0.5f, -0.25f};
  first.advantages = {1, 2};
  first.values = {3, 4};
  first.returns = {5, 6};
  Episode& second = rollout.episodes[1];
  second.tokens = {7, 8};
  second.prompt_length = 1;
  second.log_probs = {-2};
  second.advantages = {-3};
  second.values = {-4};
  second.returns = {-5};
  return rollout;
}

const std::vector<std::int64_t> kBackwards = {1, 0};

TEST(EpisodeBatch, WeighsTheRowBeforeEachTokenOfAResponse) {
  const MicroBatch batch = episode_batch(two_episodes(), kBackwards, 0, 2, 5, EpisodeColumns::none);
  EXPECT_EQ(batch.sequences, 2);
  EXPECT_EQ(batch.length, 5);
  EXPECT_THAT(batch.tokens, ElementsAre(7, 8, 0, 0, 0, 1, 2, 3, 4, 0));
  EXPECT_THAT(batch.targets, ElementsAre(8, 0, 0, 0, 0, 2, 3, 4, 0, 0));
  EXPECT_THAT(batch.weights, ElementsAre(1, 0, 0, 0, 0, 0, 1, 1, 0, 0));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 4, 0, 1, 2, 3, 4));
  EXPECT_THAT(batch.score_rows, ElementsAre(1, 8));
  EXPECT_TRUE(batch.columns.empty());
}

TEST(EpisodeBatch, ColumnsStandAtTheWeighedRows) {
  const MicroBatch policy = episode_batch(two_episodes(), kBackwards, 0, 2, 5, EpisodeColumns::policy);
  EXPECT_THAT(policy.columns, ElementsAre(ElementsAre(-2, 0, 0, 0, 0, 0, -0.5, -0.25, 0, 0),
                                          ElementsAre(-3, 0, 0, 0, 0, 0, 1, 2, 0, 0)));
  const MicroBatch value = episode_batch(two_episodes(), kBackwards, 0, 2, 5, EpisodeColumns::value);
  EXPECT_THAT(value.columns,
              ElementsAre(ElementsAre(-4, 0, 0, 0, 0, 0, 3, 4, 0, 0), ElementsAre(-5, 0, 0, 0, 0, 0, 5, 6, 0, 0)));
}

TEST(EpisodeBatch, BehindTheEndOfTheOrderIsPaddingWithoutWeight) {
  const MicroBatch batch = episode_batch(two_episodes(), kBackwards, 1, 3, 4, EpisodeColumns::policy);
  EXPECT_THAT(batch.tokens, ElementsAre(1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_FLOAT_EQ(std::accumulate(batch.weights.begin(), batch.weights.end(), 0.0f), 2);
  EXPECT_THAT(std::vector(batch.weights.begin() + 4, batch.weights.end()), Each(0));
}

TEST(WholeRollout, HasTheShortestLengthInStepsOfSixteen) {
  Rollout rollout = two_episodes();
  EXPECT_EQ(row_length(rollout, 64), 16);
  rollout.episodes[0].tokens.resize(17);
  EXPECT_EQ(row_length(rollout, 64), 32);
  EXPECT_EQ(row_length(rollout, 20), 20);
  EXPECT_EQ(row_length({}, 64), 16);
  const GlobalBatch batch = whole_rollout(rollout, 1, 64);
  EXPECT_EQ(batch.size, 2);
  const MicroBatch second = batch.load(1, 1);
  EXPECT_EQ(second.length, 32);
  EXPECT_THAT(std::vector(second.tokens.begin(), second.tokens.begin() + 3), ElementsAre(7, 8, 0));
}

// Outputs 0 to 9, five a row: the first response's are those of rows 1 and 2, the second's that of row 0 behind five.
TEST(WholeRollout, OutputsReturnToTheirTokens) {
  Rollout rollout = two_episodes();
  std::vector<float> outputs(10);
  std::iota(outputs.begin(), outputs.end(), 0.0f);
  take_log_probs(outputs, 5, &Episode::reference_log_probs, rollout);
  take_values(outputs, 5, rollout);
  take_scores(outputs, 5, rollout);
  EXPECT_THAT(rollout.episodes[0].reference_log_probs, ElementsAre(-1, -2));
  EXPECT_THAT(rollout.episodes[1].reference_log_probs, ElementsAre(-5));
  EXPECT_THAT(rollout.episodes[0].values, ElementsAre(1, 2));
  EXPECT_THAT(rollout.episodes[1].values, ElementsAre(5));
  EXPECT_EQ(rollout.episodes[0].score, 3);
  EXPECT_EQ(rollout.episodes[1].score, 6);
  EXPECT_THAT(rollout.episodes[0].log_probs, ElementsAre(-0.5, -0.25)) << "another member";
}

}  // namespace
}  // namespace coxswain
