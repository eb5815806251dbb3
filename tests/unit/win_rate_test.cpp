// Win rates with their intervals, and what is left of them at equal length.
#include "rl/win_rate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"

namespace coxswain {
namespace {

TEST(Proportion, WilsonByHand) {
  // 8 of 10, z = 2: centre (0.8 + 4/20) / (1 + 4/10) = 1 / 1.4; reach 2 / 1.4 sqrt(0.16/10 + 4/400) = 2 / 1.4
  // sqrt(0.026)
  const Proportion eight = proportion(8, 10, 2);
  EXPECT_EQ(eight.trials, 10);
  EXPECT_DOUBLE_EQ(eight.share, 0.8);
  EXPECT_NEAR(eight.interval.low, (1 - 2 * std::sqrt(0.026)) / 1.4, 1e-14);
  EXPECT_NEAR(eight.interval.high, (1 + 2 * std::sqrt(0.026)) / 1.4, 1e-14);
  // Newcombe (1998), table I: 81 of 263 is 0.2553 to 0.3662; 0 of 20 is 0 to 0.1611
  EXPECT_NEAR(proportion(81, 263).interval.low, 0.2553, 5e-5);
  EXPECT_NEAR(proportion(81, 263).interval.high, 0.3662, 5e-5);
  EXPECT_EQ(proportion(0, 20).interval.low, 0);
  EXPECT_NEAR(proportion(0, 20).interval.high, 0.1611, 5e-5);
  EXPECT_EQ(proportion(0, 0).interval.high, 1);
}

void expect_same(const Proportion& one, const Proportion& other) {
  EXPECT_DOUBLE_EQ(one.share, other.share);
  EXPECT_NEAR(one.interval.low, other.interval.low, 1e-12);
  EXPECT_NEAR(one.interval.high, other.interval.high, 1e-12);
}

TEST(Proportion, TrialsOfAClusterThatAgreeAreOneTrial) {
  const std::vector<Cluster> alike = {{10, 10}, {0, 10}, {10, 10}, {10, 10}};
  expect_same(clustered_proportion(alike), proportion(3, 4));
  EXPECT_EQ(clustered_proportion(alike).trials, 40);
  const std::vector<Cluster> single = {{1, 1}, {0, 1}, {1, 1}, {1, 1}, {0, 1}};
  expect_same(clustered_proportion(single), proportion(3, 5));
  const std::vector<Cluster> all_right = {{5, 5}, {7, 7}};
  expect_same(clustered_proportion(all_right), proportion(2, 2));
  // Clusters that differ less than independent trials would: no more than all trials are counted.
  const std::vector<Cluster> even = {{2, 4}, {2, 4}, {3, 4}};
  expect_same(clustered_proportion(even), proportion(7, 12));
  EXPECT_EQ(clustered_proportion({}).interval.high, 1);
}

TEST(Bootstrap, IntervalOfAMean) {
  std::vector<double> values;
  for (std::uint64_t i = 0; i < 400; ++i) values.push_back(uniform_real({1, 2}, i));
  double mean = 0;
  for (const double value : values) mean += value / 400;
  const Interval interval = bootstrap_mean(values, {7, 8});
  // The mean's standard error is sqrt(1/12 / 400) = 0.0144, so the interval reaches 0.0283 either way.
  EXPECT_NEAR(interval.low, mean - 0.0283, 0.003);
  EXPECT_NEAR(interval.high, mean + 0.0283, 0.003);
  EXPECT_EQ(bootstrap_mean(values, {7, 8}).low, interval.low);
  EXPECT_NE(bootstrap_mean(values, {9, 8}).low, interval.low);
  // Between two means linear: a quarter and three quarters of the way.
  const Interval all = bootstrap_mean(values, {7, 8}, 2, 1.0), half = bootstrap_mean(values, {7, 8}, 2, 0.5);
  ASSERT_LT(all.low, all.high);
  EXPECT_NEAR(half.low, all.low + 0.25 * (all.high - all.low), 1e-15);
  EXPECT_NEAR(half.high, all.low + 0.75 * (all.high - all.low), 1e-15);
  const std::vector<double> alike = {3, 3};
  EXPECT_EQ(bootstrap_mean(alike, {1, 1}).low, 3);
  EXPECT_EQ(bootstrap_mean(alike, {1, 1}).high, 3);
}

TEST(WinRate, ATieIsHalfAWin) {
  const std::vector<double> ours = {1, 2, 3, 4}, theirs = {0, 2, 5, 1};
  const Proportion rate = win_rate(ours, theirs);
  EXPECT_EQ(rate.trials, 4);
  EXPECT_DOUBLE_EQ(rate.share, 2.5 / 4);
  EXPECT_DOUBLE_EQ(rate.interval.low, proportion(2.5, 4).interval.low);
  EXPECT_THROW(win_rate(ours, std::vector<double>{1}), std::invalid_argument);
}

// Prompts on which we write 10, 0 or -10 tokens more than they, and win with a probability that length decides.
struct Judged {
  std::vector<double> ours, theirs, our_lengths, their_lengths;
  Judged(int count, double at_equal, double by_length) {
    for (int i = 0; i < count; ++i) {
      const double difference = 10.0 * (i % 4 < 2 ? 1 : i % 4 == 2 ? 0 : -1);  // longer more often than shorter
      const double logit = std::log(at_equal / (1 - at_equal)) + by_length * difference;
      const double p = 1 / (1 + std::exp(-logit));
      ours.push_back(uniform_real({3, 4}, static_cast<std::uint64_t>(i)) < p ? 1 : 0);
      theirs.push_back(0.5);
      our_lengths.push_back(50 + difference);
      their_lengths.push_back(50);
    }
  }
  LengthControlled controlled() const { return length_controlled_win_rate(ours, theirs, our_lengths, their_lengths); }
};

TEST(LengthControlledWinRate, TakesTheLengthOut) {
  const Judged judged(4000, 0.5, 0.2);  // no better than they, but longer, and length wins
  EXPECT_GT(win_rate(judged.ours, judged.theirs).share, 0.57);
  const LengthControlled controlled = judged.controlled();
  EXPECT_NEAR(controlled.rate.share, 0.5, 0.03);
  EXPECT_LT(controlled.rate.interval.low, 0.5);
  EXPECT_GT(controlled.rate.interval.high, 0.5);
  EXPECT_GT(controlled.length_effect, 1);
}

TEST(LengthControlledWinRate, IsThePlainOneWhereLengthDoesNotMatterOrDoesNotVary) {
  const Judged judged(2000, 0.7, 0);
  const double plain = win_rate(judged.ours, judged.theirs).share;
  EXPECT_NEAR(judged.controlled().rate.share, plain, 0.01);
  Judged equal = judged;
  equal.our_lengths = equal.their_lengths;
  EXPECT_NEAR(equal.controlled().rate.share, plain, 1e-9);
  EXPECT_EQ(equal.controlled().length_effect, 0);
  // theta's error is 1 / sqrt(n p (1 - p)) then
  const double reach = kNormal95 / std::sqrt(2000 * plain * (1 - plain)), theta = std::log(plain / (1 - plain));
  EXPECT_NEAR(equal.controlled().rate.interval.low, 1 / (1 + std::exp(-theta + reach)), 1e-9);
}

// Eight prompts; theta and phi by gradient descent in another program, with phi's prior of variance 10.
TEST(LengthControlledWinRate, IsTheFitOfASmallCase) {
  const std::vector<double> ours = {3, 1, 2, 5, 2, 4, 1, 6}, theirs = {1, 2, 2, 3, 4, 1, 3, 2};
  const std::vector<double> our_lengths = {12, 9, 20, 31, 7, 15, 8, 22},
                            their_lengths = {10, 11, 12, 20, 13, 16, 15, 9};
  const LengthControlled fit = length_controlled_win_rate(ours, theirs, our_lengths, their_lengths);
  EXPECT_NEAR(fit.length_effect, 2.3170514884, 1e-8);
  EXPECT_NEAR(fit.rate.share, 0.5203219619, 1e-9);
  EXPECT_NEAR(fit.rate.interval.low, 0.1594994176, 1e-9);
  EXPECT_NEAR(fit.rate.interval.high, 0.8611198879, 1e-9);
}

TEST(LengthControlledWinRate, StaysFiniteWhereLengthOrOneSideDecidesAll) {
  Judged judged(100, 0.5, 0);
  for (std::size_t i = 0; i < 100; ++i) judged.ours[i] = judged.our_lengths[i] > 50 ? 1 : 0;
  const LengthControlled by_length = judged.controlled();
  EXPECT_TRUE(std::isfinite(by_length.rate.interval.low) && std::isfinite(by_length.length_effect));
  EXPECT_LT(by_length.rate.share, 0.5);  // at equal length it never won
  judged.ours.assign(100, 1.0);
  EXPECT_EQ(judged.controlled().rate.share, 1);
}

}  // namespace
}  // namespace coxswain
