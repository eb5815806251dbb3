// Calibration of a reward model, worked by hand.
#include "rl/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <utility>

namespace coxswain {
namespace {

// The margin of a confidence: sigma(log(p / (1 - p))) = p.
double margin_of(double confidence) { return std::log(confidence / (1 - confidence)); }

// Each of a prompt of its own.
JudgedPairs apart(std::vector<double> margins) {
  JudgedPairs pairs{std::move(margins), {}};
  for (std::size_t i = 0; i < pairs.margins.size(); ++i) pairs.comparisons.push_back(static_cast<std::int64_t>(i));
  return pairs;
}

TEST(Calibration, BinsByHand) {
  // confidences 0.55 (wrong), 0.56 (right), 0.9 (right), 0.9 (right), 0.92 (wrong); two bins: to 0.75 and from there
  const std::vector<double> margins = {-margin_of(0.55), margin_of(0.56), margin_of(0.9), margin_of(0.9),
                                       -margin_of(0.92)};
  const auto bins = reliability(apart(margins), 2);
  ASSERT_EQ(bins.size(), 2u);
  EXPECT_DOUBLE_EQ(bins[0].low, 0.5);
  EXPECT_DOUBLE_EQ(bins[0].high, 0.75);
  EXPECT_DOUBLE_EQ(bins[1].high, 1);
  EXPECT_EQ(bins[0].accuracy.trials, 2);
  EXPECT_NEAR(bins[0].mean_confidence, 0.555, 1e-12);
  EXPECT_DOUBLE_EQ(bins[0].accuracy.share, 0.5);
  EXPECT_EQ(bins[1].accuracy.trials, 3);
  EXPECT_NEAR(bins[1].mean_confidence, 2.72 / 3, 1e-12);
  EXPECT_DOUBLE_EQ(bins[1].accuracy.share, 2.0 / 3);
  EXPECT_DOUBLE_EQ(bins[1].accuracy.interval.low, proportion(2, 3).interval.low);
  // 2/5 |0.5 - 0.555| + 3/5 |2/3 - 2.72/3|
  EXPECT_NEAR(expected_calibration_error(bins), 0.4 * 0.055 + 0.6 * 0.24, 1e-12);
}

TEST(Calibration, AModelThatIsRightAsOftenAsItSaysHasNoError) {
  std::vector<double> margins;
  for (int i = 0; i < 1000; ++i) {
    const double confidence = i % 2 == 0 ? 0.6 : 0.8;
    margins.push_back(i / 2 % 10 < confidence * 10 ? margin_of(confidence) : -margin_of(confidence));
  }
  EXPECT_NEAR(expected_calibration_error(reliability(apart(margins), 10)), 0, 1e-12);
}

// Four pairs of one prompt say no more than one: the interval is that of one trial.
TEST(Calibration, ABinsIntervalCountsPromptsNotPairs) {
  const JudgedPairs together{{1, 1, 1, 1, 1, -1}, {0, 0, 0, 0, 1, 2}};
  const auto bins = reliability(together, 1);
  EXPECT_EQ(bins[0].accuracy.trials, 6);
  EXPECT_DOUBLE_EQ(bins[0].accuracy.interval.low, accuracy(together).interval.low);
  EXPECT_LT(bins[0].accuracy.interval.low, reliability(apart(together.margins), 1)[0].accuracy.interval.low);
}

TEST(Calibration, Extremes) {
  const std::vector<double> margins = {0, 1000, -1000};  // undecided is half right; certain falls into the last bin
  const auto bins = reliability(apart(margins), 10);
  EXPECT_DOUBLE_EQ(bins[0].accuracy.share, 0.5);
  EXPECT_EQ(bins[9].accuracy.trials, 2);
  EXPECT_EQ(expected_calibration_error({}), 0);
  EXPECT_EQ(expected_calibration_error(reliability(apart({}), 3)), 0);
  EXPECT_THROW(reliability(apart(margins), 0), std::invalid_argument);
  EXPECT_THROW(reliability(apart({std::nan("")}), 3), std::invalid_argument);
}

TEST(Calibration, AccuracyByGroup) {
  const JudgedPairs pairs{{1, -1, 0, 2}, {0, 1, 2, 3}};
  const std::vector<std::string> groups = {"b", "b", "a", "b"};
  EXPECT_DOUBLE_EQ(accuracy(pairs).share, 2.5 / 4);
  const auto by_group = accuracy_by_group(pairs, groups);
  ASSERT_EQ(by_group.size(), 2u);
  EXPECT_EQ(by_group.at("b").trials, 3);
  EXPECT_DOUBLE_EQ(by_group.at("b").share, 2.0 / 3);
  EXPECT_DOUBLE_EQ(by_group.at("a").share, 0.5);
  EXPECT_THROW(accuracy_by_group(pairs, {}), std::invalid_argument);
}

TEST(Calibration, PairsOfOneComparisonAreNoIndependentTrials) {
  const JudgedPairs pairs{{1, 2, 3, -1, -2, -3, 1, 1, 1}, {0, 0, 0, 1, 1, 1, 2, 2, 2}};
  const Proportion found = accuracy(pairs), three = proportion(2, 3);
  EXPECT_EQ(found.trials, 9);
  EXPECT_DOUBLE_EQ(found.share, three.share);
  EXPECT_NEAR(found.interval.low, three.interval.low, 1e-12);
  EXPECT_NEAR(accuracy_by_group(pairs, std::vector<std::string>(9, "a")).at("a").interval.high, three.interval.high,
              1e-12);
}

}  // namespace
}  // namespace coxswain
