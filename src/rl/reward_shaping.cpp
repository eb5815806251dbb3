#include "rl/reward_shaping.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "rl/response_check.h"

namespace coxswain {
namespace {

void check_log_probs(const Episode& episode) {
  check_response(episode, {{"log_probs", &episode.log_probs}, {"reference_log_probs", &episode.reference_log_probs}});
}

KlEstimates divided(const KlEstimates& sum, std::size_t count) {
  if (count == 0) return {};
  const auto n = static_cast<double>(count);
  return {sum.k1 / n, sum.k2 / n, sum.k3 / n};
}

void add(const KlEstimates& more, KlEstimates& sum) {
  sum.k1 += more.k1;
  sum.k2 += more.k2;
  sum.k3 += more.k3;
}

KlEstimates total(const Rollout& rollout) {
  KlEstimates sum;
  for (const Episode& episode : rollout.episodes) add(response_divergence(episode), sum);
  return sum;
}

}  // namespace

double shaped_score(const Episode& episode, const RewardShaping& shaping) {
  if (!episode.ended && shaping.missing_end_score) return *shaping.missing_end_score;
  const double score = episode.score;
  if (!std::isfinite(score))
    throw Error(ExitCode::diverged,
                fmt::format("the reward model's score of a response of {} tokens is {}; its checkpoint holds weights "
                            "that are not finite or far too large: train it again or give an earlier one",
                            episode.response_length(), score))
        .on_every_rank();
  return shaping.score_clip > 0 ? std::clamp(score, -shaping.score_clip, shaping.score_clip) : score;
}

void shape_rewards(Rollout& rollout, double kl_coefficient, const RewardShaping& shaping) {
  for (Episode& episode : rollout.episodes) {
    check_log_probs(episode);
    const double score = shaped_score(episode, shaping);
    const std::size_t tokens = episode.log_probs.size();
    episode.rewards.resize(tokens);
    for (std::size_t j = 0; j < tokens; ++j) {
      const double log_ratio = static_cast<double>(episode.log_probs[j]) - episode.reference_log_probs[j];
      episode.rewards[j] = static_cast<float>((j + 1 == tokens ? score : 0) - kl_coefficient * log_ratio);
    }
  }
}

KlEstimates token_divergence(double log_prob, double reference_log_prob) {
  const double log_ratio = reference_log_prob - log_prob;
  return {-log_ratio, 0.5 * log_ratio * log_ratio, std::expm1(log_ratio) - log_ratio};
}

KlEstimates response_divergence(const Episode& episode) {
  check_log_probs(episode);
  KlEstimates sum;
  for (std::size_t j = 0; j < episode.log_probs.size(); ++j)
    add(token_divergence(episode.log_probs[j], episode.reference_log_probs[j]), sum);
  return sum;
}

KlEstimates mean_divergence_by_response(const Rollout& rollout) {
  return divided(total(rollout), rollout.episodes.size());
}

}  // namespace coxswain
