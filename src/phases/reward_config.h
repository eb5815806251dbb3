// What a reward model learns from, and what is scored by it.
#pragma once

#include <string>

#include "kernels/backend.h"

namespace coxswain {

// How scores are shifted and stretched after training, so that PPO begins with rewards around zero.
enum class Normalise {
  none,
  bias,           // the reference scores 0 on average (Ouyang et al. 2022, section 3.5)
  gain_and_bias,  // and with variance 1, before training too (Ziegler et al. 2019, section 2.1)
};

struct RewardConfig {
  std::string comparisons;  // JSONL
  std::string validation;   // the same, held out; empty: none
  int responses = 9;        // K, the most of a prompt; of fewer the rest is padding
  RankingKind loss = RankingKind::pairwise;
  int epochs = 1;  // where run.steps = 0
  Normalise normalise = Normalise::bias;
  std::string reference;  // JSONL of demonstrations

  friend bool operator==(const RewardConfig&, const RewardConfig&) = default;
};

struct ScoreConfig {
  std::string input;   // JSONL of prompts with their responses
  std::string output;  // the same lines with scores

  friend bool operator==(const ScoreConfig&, const ScoreConfig&) = default;
};

}  // namespace coxswain
