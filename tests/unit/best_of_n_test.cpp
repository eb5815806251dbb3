// Best of n, worked by hand and against sampling.
#include "rl/best_of_n.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "base/random.h"

namespace coxswain {
namespace {

TEST(BestOfN, DivergenceByHand) {
  EXPECT_EQ(best_of_n_divergence(1), 0);
  EXPECT_NEAR(best_of_n_divergence(2), 0.6931471806 - 0.5, 1e-10);
  EXPECT_NEAR(best_of_n_divergence(64), 4.1588830834 - 63.0 / 64, 1e-10);
}

TEST(BestOfN, ByHand) {
  const std::vector<double> scores = {4, 1, 2};
  // n 1: the mean 7/3. n 2: pairs (4,1) (4,2) (1,2): (4 + 4 + 2) / 3. n 3: 4
  EXPECT_NEAR(expected_best_of_n(scores, 1), 7.0 / 3, 1e-15);
  EXPECT_NEAR(expected_best_of_n(scores, 2), 10.0 / 3, 1e-15);
  EXPECT_NEAR(expected_best_of_n(scores, 3), 4.0, 1e-15);
}

TEST(BestOfN, ChoosesByTheProxyAndReportsWhatIsMeasured) {
  const std::vector<double> proxy = {3, 1, 2}, gold = {-1, 5, 7};
  // pairs by proxy: (3,1) -> -1, (3,2) -> -1, (1,2) -> 7
  EXPECT_NEAR(expected_best_of_n(proxy, gold, 2), 5.0 / 3, 1e-15);
  EXPECT_EQ(expected_best_of_n(proxy, gold, 3), -1);
}

TEST(BestOfN, EqualScoresShareAndOrderDoesNotMatter) {
  const std::vector<double> proxy = {1, 1, 0}, gold = {2, 4, 9}, turned = {4, 9, 2}, turned_proxy = {1, 0, 1};
  EXPECT_NEAR(expected_best_of_n(proxy, gold, 3), 3.0, 1e-15);
  // pairs: both best 3; (2, 9) -> 2; (4, 9) -> 4
  EXPECT_NEAR(expected_best_of_n(proxy, gold, 2), 3.0, 1e-15);
  EXPECT_NEAR(expected_best_of_n(turned_proxy, turned, 2), 3.0, 1e-15);
}

TEST(BestOfN, ManySamplesOfAUniformScore) {
  // The mean of the highest of n uniform numbers is n / (n + 1); 20000 samples know it to about 1 / sqrt(20000 / n).
  std::vector<double> scores;
  for (std::uint64_t i = 0; i < 20000; ++i) scores.push_back(uniform_real({5, 6}, i));
  for (const int n : {1, 4, 16, 64}) EXPECT_NEAR(expected_best_of_n(scores, n), n / (n + 1.0), 0.006) << n;
}

TEST(BestOfN, SaysWhatIsWrong) {
  const std::vector<double> scores = {1, 2}, bad = {1, std::nan("")};
  EXPECT_THROW(expected_best_of_n(scores, 3), std::invalid_argument);
  EXPECT_THROW(expected_best_of_n(scores, 0), std::invalid_argument);
  EXPECT_THROW(expected_best_of_n(bad, 1), std::invalid_argument);
}

}  // namespace
}  // namespace coxswain
