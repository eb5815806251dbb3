#include "rl/policy_judge.h"

#include "rl/episode_batch.h"
#include "rl/roll_out.h"

namespace coxswain {

PolicyJudge::PolicyJudge(FrozenModel& policy, FrozenModel* judge, FrozenModel* reference, const JudgingConfig& config)
    : policy_(policy),
      judge_(judge),
      reference_(reference),
      config_(config),
      generator_(policy.model(),
                 {.slots = config.slots, .context = config.length, .compress_weights = config.compress_weights}) {}

Rollout PolicyJudge::judge(const std::vector<GenerationRequest>& requests, const Sampling& sampling) {
  Rollout rollout = roll_out(generator_, requests, sampling);
  const GlobalBatch batch = whole_rollout(rollout, config_.micro, config_.length);
  const int length = row_length(rollout, config_.length);
  if (judge_ != nullptr) take_scores(judge_->outputs(batch), length, rollout);
  if (reference_ == nullptr) return rollout;
  take_log_probs(policy_.outputs(batch), length, &Episode::log_probs, rollout);
  take_log_probs(reference_->outputs(batch), length, &Episode::reference_log_probs, rollout);
  return rollout;
}

std::vector<double> scores_of(const Rollout& rollout) {
  std::vector<double> scores;
  for (const Episode& episode : rollout.episodes) scores.push_back(static_cast<double>(episode.score));
  return scores;
}

std::vector<double> lengths_of(const Rollout& rollout) {
  std::vector<double> lengths;
  for (const Episode& episode : rollout.episodes) lengths.push_back(episode.response_length());
  return lengths;
}

}  // namespace coxswain
