// Comparisons as micro-batches and what is reported of their scores, by cases worked by hand.
#include "rl/comparison_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "rl/reward_report.h"

namespace coxswain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<Comparison> two_comparisons() {
  return {{.prompt = {1, 2}, .responses = {{3}, {4, 5}}, .ranks = {2, 1}, .labeler = "ann", .source = ""},
          {.prompt = {6}, .responses = {{7}, {8}, {9}}, .ranks = {1, 1, 2}, .labeler = "bob", .source = ""}};
}

TEST(ComparisonBatch, ResponsesOfAPromptAreNeighbours) {
  const std::vector<Comparison> comparisons = two_comparisons();
  const std::vector<std::int64_t> order = {1, 0};
  const MicroBatch batch = comparison_batch(comparisons, order, 0, 2, 3, 4);
  EXPECT_EQ(batch.sequences, 6);
  EXPECT_THAT(batch.tokens, ElementsAre(6, 7, 0, 0, 6, 8, 0, 0, 6, 9, 0, 0,  // the second comparison
                                        1, 2, 3, 0, 1, 2, 4, 5, 0, 0, 0, 0));
  EXPECT_THAT(batch.score_rows, ElementsAre(1, 5, 9, 14, 19, 20));
  EXPECT_THAT(batch.ranks, ElementsAre(1, 1, 2, 2, 1, 0));
  EXPECT_THAT(batch.weights, ElementsAre(0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0,  //
                                         0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3));
}

TEST(ComparisonBatch, BehindTheEndIsPadding) {
  const std::vector<Comparison> comparisons = two_comparisons();
  const std::vector<std::int64_t> order = {0};
  const MicroBatch batch = comparison_batch(comparisons, order, 0, 2, 2, 4);
  EXPECT_THAT(batch.ranks, ElementsAre(2, 1, 0, 0));
  EXPECT_THAT(batch.weights, ElementsAre(0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(batch.score_rows, ElementsAre(2, 7, 8, 12));
}

TEST(Scoring, TakesTheOutputAtTheLastTokenInChunks) {
  const std::vector<TokenSequence> sequences = {{10}, {20, 21}, {30, 31, 32}};
  int calls = 0;
  const auto outputs = [&](const GlobalBatch& batch) {  // the tokens themselves
    ++calls;
    const MicroBatch loaded = batch.load(0, batch.size);
    return std::vector<float>(loaded.tokens.begin(), loaded.tokens.end());
  };
  EXPECT_THAT(score_sequences(outputs, sequences, {.chunk = 2, .micro = 1, .length = 4}), ElementsAre(10, 21, 32));
  EXPECT_EQ(calls, 2);
  const ScoreMoments moments = moments_of(std::vector<double>{1, 2, 3, 6});
  EXPECT_DOUBLE_EQ(moments.mean, 3);
  EXPECT_DOUBLE_EQ(moments.deviation, std::sqrt(3.5));
}

// Margins: of the first comparison 4 - 1; of the second 0 - 2 and 2 - 2 (the first two responses tie).
TEST(RewardReport, CountsPairsByLabeler) {
  const std::vector<Comparison> comparisons = two_comparisons();
  const RewardReport report = judge_scores(comparisons, std::vector<double>{1, 4, 0, 2, 2}, 1.0);
  EXPECT_EQ(report.accuracy.trials, 3);
  EXPECT_DOUBLE_EQ(report.accuracy.share, 0.5);
  ASSERT_EQ(report.by_labeler.size(), 2u);
  EXPECT_DOUBLE_EQ(report.by_labeler.at("ann").share, 1.0);
  EXPECT_DOUBLE_EQ(report.by_labeler.at("bob").share, 0.25);
  EXPECT_TRUE(report.by_source.empty());
  // Bins of 0.05: confidences 0.5, 0.8808 and 0.9526.
  EXPECT_DOUBLE_EQ(report.reliability[0].accuracy.share, 0.5);
  EXPECT_DOUBLE_EQ(report.reliability[7].accuracy.share, 0.0);
  EXPECT_DOUBLE_EQ(report.reliability[9].accuracy.share, 1.0);
  EXPECT_NEAR(report.calibration_error, (0 + 0.880797 + 1 - 0.952574) / 3, 1e-6);
}

TEST(RewardReport, CalibrationIsOfTheScoresBeforeTheGain) {
  const std::vector<Comparison> comparisons = two_comparisons();
  const RewardReport report = judge_scores(comparisons, std::vector<double>{0.1, 0.4, 0, 0.2, 0.2}, 10.0);
  EXPECT_EQ(report.reliability[9].accuracy.trials, 1);
  EXPECT_EQ(report.reliability[7].accuracy.trials, 1);
}

TEST(RewardReport, SaysTheSameAsJsonTextAndHtml) {
  const std::vector<Comparison> comparisons = two_comparisons();
  RewardReport report = judge_scores(comparisons, std::vector<double>{1, 4, 0, 2, 2}, 1.0);
  report.reference = {{.mean = 3, .deviation = 2}, {.mean = 0, .deviation = 2}};
  const auto json = nlohmann::json::parse(to_json(report));
  EXPECT_EQ(json["accuracy"]["share"], 0.5);
  EXPECT_EQ(json["by_labeler"]["bob"]["pairs"], 2);
  EXPECT_EQ(json["reference"]["mean"], 0.0);
  EXPECT_EQ(json["reliability"].size(), 10u);
  EXPECT_THAT(to_text(report), HasSubstr("labeler ann"));
  EXPECT_THAT(to_text(report), HasSubstr("mean 3, deviation 2, normalised to 0 and 2"));
  EXPECT_THAT(to_html(report), HasSubstr("<svg"));
  EXPECT_EQ(to_html({}), "");
}

}  // namespace
}  // namespace coxswain
