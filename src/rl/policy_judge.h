// What is asked of a policy from outside: its responses to some prompts, a judge's score for each, and how far it has
// gone from a reference. Collective over the world.
#pragma once

#include <memory>
#include <vector>

#include "rl/generator.h"
#include "rl/reward_shaping.h"
#include "rl/rollout.h"
#include "train/frozen_model.h"

namespace coxswain {

struct JudgingConfig {
  int micro = 1;   // sequences of a micro-batch
  int length = 0;  // tokens of prompt and response
  int slots = 32;  // of the generator
  bool compress_weights = false;
};

class PolicyJudge {
 public:
  // judge and reference may be null: no score, no divergence. All must outlive it.
  PolicyJudge(FrozenModel& policy, FrozenModel* judge, FrozenModel* reference, const JudgingConfig& config);

  // Responses with their score, log_probs and reference_log_probs.
  Rollout judge(const std::vector<GenerationRequest>& requests, const Sampling& sampling);

 private:
  FrozenModel& policy_;
  FrozenModel* judge_;
  FrozenModel* reference_;
  JudgingConfig config_;
  Generator generator_;
};

std::vector<double> scores_of(const Rollout& rollout);
std::vector<double> lengths_of(const Rollout& rollout);  // tokens of each response

}  // namespace coxswain
