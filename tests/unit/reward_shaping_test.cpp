// Rewards of tokens, estimates of the divergence, and the coefficient that is steered: worked by hand.
#include "rl/reward_shaping.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "memory_archive.h"
#include "rl/kl_controller.h"
#include "rl/ppo_config.h"

namespace coxswain {
namespace {

Episode episode_of(std::vector<float> log_probs, std::vector<float> reference, float score, bool ended) {
  Episode episode;
  episode.prompt_length = 1;
  episode.tokens.resize(1 + log_probs.size());
  episode.log_probs = std::move(log_probs);
  episode.reference_log_probs = std::move(reference);
  episode.score = score;
  episode.ended = ended;
  return episode;
}

TEST(RewardShaping, PenaltyAtEveryTokenAndScoreAtTheLast) {
  Rollout rollout;
  rollout.episodes = {episode_of({-1, -2, -0.5f}, {-1.5f, -1, -0.5f}, 3, true), episode_of({}, {}, 7, true)};
  shape_rewards(rollout, 0.5, {});
  // log ratios 0.5, -1, 0, times -1/2; the score at the end
  EXPECT_EQ(rollout.episodes[0].rewards, (std::vector<float>{-0.25f, 0.5f, 3}));
  EXPECT_TRUE(rollout.episodes[1].rewards.empty());
}

TEST(RewardShaping, ScoresAreClippedAndAMissingEndHasItsOwn) {
  RewardShaping shaping;
  shaping.score_clip = 2;
  shaping.missing_end_score = -5;
  EXPECT_EQ(shaped_score(episode_of({-1}, {-1}, 3, true), shaping), 2);
  EXPECT_EQ(shaped_score(episode_of({-1}, {-1}, -3, true), shaping), -2);
  EXPECT_EQ(shaped_score(episode_of({-1}, {-1}, 1.5f, true), shaping), 1.5);
  EXPECT_EQ(shaped_score(episode_of({-1}, {-1}, 1.5f, false), shaping), -5);  // fixed: not clipped
  EXPECT_EQ(shaped_score(episode_of({-1}, {-1}, 9, false), {}), 9);
}

TEST(RewardShaping, AScoreThatIsNotANumberStopsTheRun) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  try {
    shaped_score(episode_of({-1}, {-1}, nan, true), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::diverged);
    EXPECT_TRUE(error.everywhere());
  }
  RewardShaping shaping;
  shaping.missing_end_score = -1;
  EXPECT_EQ(shaped_score(episode_of({-1}, {-1}, nan, false), shaping), -1);  // nobody asked for it
}

TEST(Divergence, EstimatesByHand) {
  const KlEstimates two = token_divergence(std::log(0.5), std::log(0.25));  // r = 1/2
  EXPECT_NEAR(two.k1, 0.6931471806, 1e-10);
  EXPECT_NEAR(two.k2, 0.2402265070, 1e-10);  // (log 2)^2 / 2
  EXPECT_NEAR(two.k3, 0.5 - 1 + 0.6931471806, 1e-10);
  const KlEstimates same = token_divergence(-3, -3);
  EXPECT_EQ(same.k1, 0);
  EXPECT_EQ(same.k3, 0);
}

TEST(Divergence, K1AndK3HaveTheDivergenceAsTheirMean) {
  // All outcomes of a choice among three, weighted by their probability: KL = sum p log(p / q).
  const double p[] = {0.7, 0.2, 0.1}, q[] = {0.3, 0.3, 0.4};
  double divergence = 0, k1 = 0, k3 = 0;
  for (int i = 0; i < 3; ++i) {
    const KlEstimates estimates = token_divergence(std::log(p[i]), std::log(q[i]));
    divergence += p[i] * std::log(p[i] / q[i]);
    k1 += p[i] * estimates.k1;
    k3 += p[i] * estimates.k3;
    EXPECT_GE(estimates.k3, 0);
  }
  EXPECT_NEAR(k1, divergence, 1e-15);
  EXPECT_NEAR(k3, divergence, 1e-15);
}

TEST(Divergence, MeanByResponse) {
  Rollout rollout;
  rollout.episodes = {episode_of({-1, -2, -0.5f}, {-1.5f, -1, -0.5f}, 0, true),  // 0.5 - 1 + 0 = -0.5
                      episode_of({-1}, {-3}, 0, true)};                          // 2
  EXPECT_DOUBLE_EQ(response_divergence(rollout.episodes[0]).k1, -0.5);
  EXPECT_DOUBLE_EQ(mean_divergence_by_response(rollout).k1, 0.75);
  EXPECT_DOUBLE_EQ(mean_divergence_by_response(rollout).k2, (0.125 + 0.5 + 2) / 2);
  EXPECT_EQ(mean_divergence_by_response({}).k1, 0);
}

TEST(KlController, FixedStaysWhereTheDeckPutIt) {
  KlController fixed(0.02);
  fixed.update(100, 512);
  EXPECT_EQ(fixed.coefficient(), 0.02);
  EXPECT_EQ(KlController(0.02, 0, 10000).coefficient(), 0.02);
}

TEST(KlController, IsSteeredTowardsItsTarget) {
  KlController controller(0.2, 6, 10000);
  controller.update(6.6, 500);  // e = 0.1: times 1 + 0.1 * 500 / 10000 = 1.005
  EXPECT_DOUBLE_EQ(controller.coefficient(), 0.2 * 1.005);
  controller.update(60, 500);  // e = 9, clipped to 0.2: times 1.01
  EXPECT_DOUBLE_EQ(controller.coefficient(), 0.2 * 1.005 * 1.01);
  controller.update(-1, 1000);  // e < -1, clipped to -0.2: times 0.98
  EXPECT_DOUBLE_EQ(controller.coefficient(), 0.2 * 1.005 * 1.01 * 0.98);
  const double before = controller.coefficient();
  controller.update(std::nan(""), 1000);
  EXPECT_EQ(controller.coefficient(), before);
}

TEST(PpoConfig, NamesTheNumbersOfEpisodesThatFit) {
  const auto said = [](int episodes) {
    PpoConfig config;
    config.episodes = episodes;
    config.minibatch = 8;
    try {
      config.check();
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(said(12), "[ppo] episodes = 12 is no multiple of [ppo] minibatch = 8; use 8 or 16");
  EXPECT_EQ(said(4), "[ppo] episodes = 4 is no multiple of [ppo] minibatch = 8; use 8");
  EXPECT_EQ(said(16), "accepted");
}

// However far below the target, one rollout leaves the coefficient above 0; a deck where it would not is refused.
TEST(KlController, NeverTurnsNegative) {
  PpoConfig config;
  config.episodes = 16;
  config.minibatch = 8;
  config.kl_target = 1e6;
  config.kl_horizon = 3.3;
  EXPECT_NO_THROW(config.check());
  KlController controller(config.kl_coefficient, config.kl_target, config.kl_horizon);
  for (int rollout = 0; rollout < 3; ++rollout) controller.update(0, config.episodes);
  EXPECT_GT(controller.coefficient(), 0);
  for (const double horizon : {3.2, 1.0}) {
    config.kl_horizon = horizon;
    try {
      config.check();
      ADD_FAILURE() << "accepted " << horizon;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_NE(std::string(error.what()).find("use more than 3.2"), std::string::npos) << error.what();
    }
  }
  config.kl_target = 0;  // fixed
  config.kl_coefficient = 0;
  EXPECT_NO_THROW(config.check());
  config.kl_target = 6, config.kl_horizon = 10000;  // of a coefficient that no factor moves
  EXPECT_THROW(config.check(), Error);
}

TEST(KlController, GoesOnFromACheckpoint) {
  KlController controller(0.2, 6, 10000), resumed(0.2, 6, 10000), fixed(0.3);
  controller.update(12, 1000);
  MemoryArchive archive;
  controller.visit(archive);
  MemoryArchive reader = MemoryArchive::reader(archive);
  resumed.visit(reader);
  EXPECT_EQ(resumed.coefficient(), controller.coefficient());
  fixed.visit(reader);
  EXPECT_EQ(fixed.coefficient(), 0.3);
}

}  // namespace
}  // namespace coxswain
