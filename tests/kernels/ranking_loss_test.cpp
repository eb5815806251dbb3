// Reward-model losses on ranked groups: worked by hand, ties, absent responses, finite differences.
#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

template <class T>
struct Groups {
  Host<T> scores, weights, gradient;
  Host<std::int32_t> ranks;
  Host<double> terms{Shape{3}};
  RankingKind kind = RankingKind::pairwise;

  Groups(std::int64_t groups, std::int64_t k)
      : scores({groups, k}), weights({groups}), gradient({groups, k}), ranks({groups, k}) {
    for (T& weight : weights.values()) weight = 1;
  }
  double loss(Backend& backend) {
    backend.ranking_loss({kind, scores, ranks, weights, gradient, terms});
    return terms[0];
  }
};

const double kLog2 = std::log(2.0), kLog3 = std::log(3.0);

TEST(RankingLoss, PairsWorkedByHand) {
  const auto backend = make_tested_backend();
  Groups<double> groups(1, 3);
  groups.scores.values() = {0, kLog3, kLog2};
  groups.ranks.values() = {3, 1, 2};
  groups.weights[0] = 0.5;
  // C(3, 2) = 3 pairs. sigma(log a) = a / (1 + a).
  // b > c: margin log 3/2, sigma 3/5; b > a: margin log 3, sigma 3/4; c > a: margin log 2, sigma 2/3
  // loss = -1/3 (log 3/5 + log 3/4 + log 2/3) = -1/3 log 0.3
  EXPECT_NEAR(groups.loss(*backend), -0.5 / 3 * std::log(0.3), 1e-14);
  EXPECT_EQ(groups.terms[1], 3);
  EXPECT_EQ(groups.terms[2], 3);
  // dloss/ds = 1/3 (sum where worse - sum where better) of 1 - sigma:
  // a: 1/4 + 1/3; b: -(2/5 + 1/4); c: 2/5 - 1/3
  expect_close(groups.gradient, {0.5 / 3 * 7 / 12, -0.5 / 3 * 13 / 20, 0.5 / 3 / 15}, 1e-14, "gradient");
}

TEST(RankingLoss, TiedPairsAndAbsentResponsesDoNotCount) {
  const auto backend = make_tested_backend();
  Groups<double> groups(5, 4);
  groups.scores.values() = {kLog3, 0, 0, 99,  // 1 > (2 = 2); the fourth is absent
                            1,     2, 3, 4,   // all tied
                            5,     6, 7, 8,   // one response only
                            1,     1, 0, 0,   // a wrong pair, and an equal score
                            1,     2, 3, 4};  // weight 0: padding
  groups.ranks.values() = {1, 2, 2, 0, 7, 7, 7, 7, 0, 0, 1, 0, 2, 2, 1, 0, 1, 2, 3, 4};
  groups.scores[13] = 0;
  groups.weights[4] = 0;
  // first: two pairs, both sigma 3/4. fourth: 0 over 1 with margin -1, 0 over 0 with margin 0
  const double wrong = std::log1p(std::exp(1.0));
  EXPECT_NEAR(groups.loss(*backend), -std::log(0.75) + 0.5 * (wrong + kLog2), 1e-14);
  EXPECT_EQ(groups.terms[1], 2 + 2);
  EXPECT_EQ(groups.terms[2], 2 + 0.5);  // equal scores are half right
  const double doubt = 0.5 / (1 + std::exp(-1.0));
  expect_close(groups.gradient,
               {-0.25, 0.125, 0.125, 0, 0, 0, 0, 0, 0, 0, 0, 0, doubt, 0.25, -doubt - 0.25, 0, 0, 0, 0, 0}, 1e-14,
               "gradient");
}

TEST(RankingLoss, BestOfNWorkedByHand) {
  const auto backend = make_tested_backend();
  Groups<double> groups(4, 4);
  groups.kind = RankingKind::best_of_n;
  groups.scores.values() = {0,     kLog2, 0, 0,   // softmax 1/5, 2/5, 1/5, 1/5
                            kLog2, 0,     0, 50,  // two share the best; the fourth is absent
                            1,     2,     3, 4,   // all tied
                            1000,  -1000, 0, 0};  // far apart, wrong
  groups.ranks.values() = {2, 1, 3, 2, 1, 2, 1, 0, 1, 1, 1, 1, 2, 1, 0, 0};
  groups.weights[1] = 2;
  // first: -log 2/5. second: softmax 1/2, 1/4, 1/4; -1/2 log 1/2 - 1/2 log 1/4 = 3/2 log 2, twice. fourth: 2000
  EXPECT_NEAR(groups.loss(*backend), -std::log(0.4) + 3 * kLog2 + 2000, 1e-11);
  EXPECT_EQ(groups.terms[1], 3);
  EXPECT_EQ(groups.terms[2], 2);
  expect_close(groups.gradient, {0.2, -0.6, 0.2, 0.2, 0, 0.5, -0.5, 0, 0, 0, 0, 0, 1, -1, 0, 0}, 1e-14, "gradient");
}

TEST(RankingLoss, BestOfNSharesWhatHasEqualScores) {
  const auto backend = make_tested_backend();
  Groups<float> groups(1, 4);  // no model yet: all scores are equal, one of four is right
  groups.kind = RankingKind::best_of_n;
  groups.ranks.values() = {4, 1, 2, 3};
  EXPECT_NEAR(groups.loss(*backend), std::log(4.0), 1e-14);
  EXPECT_EQ(groups.terms[2], 0.25);
}

TEST(RankingLoss, GradientEqualsFiniteDifferences) {
  const auto backend = make_tested_backend();
  Groups<double> groups(7, 9);
  groups.scores = Host<double>::random({7, 9}, 1, 3.0);
  groups.weights = Host<double>::random({7}, 2);
  for (std::int64_t i = 0; i < 63; ++i) groups.ranks[i] = static_cast<std::int32_t>(i * i % 5);  // 0, 1 and 4
  for (const RankingKind kind : {RankingKind::pairwise, RankingKind::best_of_n}) {
    groups.kind = kind;
    groups.loss(*backend);
    const Host<double> gradient = groups.gradient;
    expect_gradient(
        groups.scores, gradient, [&] { return groups.loss(*backend); }, "dscores", 63);
  }
}

TEST(RankingLoss, BitsDoNotDependOnThreads) {
  Groups<float> groups(2000, 9);
  groups.scores = Host<float>::random({2000, 9}, 1, 3.0);
  for (std::int64_t i = 0; i < groups.ranks.size(); ++i) groups.ranks[i] = static_cast<std::int32_t>(i * i % 5);
  std::vector<Groups<float>> runs;
  on_one_and_two_threads([&](int) {
    groups.loss(*make_tested_backend());
    runs.push_back(groups);
  });
  EXPECT_TRUE(runs[0].gradient.same_bits(runs[1].gradient));
  EXPECT_TRUE(runs[0].terms.same_bits(runs[1].terms));
}

}  // namespace
}  // namespace coxswain::testing
