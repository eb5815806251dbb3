// The learning rate as a function of the run's place: linear warm-up, then cosine, linear or constant, down to a floor.
#pragma once

#include <cstdint>

#include "train/config.h"

namespace coxswain {

// Rate of step `step` (from 1), which starts after `tokens` tokens. total_steps ends the decay where neither
// decay_steps nor decay_tokens is given. Warm-up reaches the peak at its last step; the floor is minimum_ratio x peak
// (Brown et al. 2020, appendix B).
double learning_rate(const OptimizerConfig& config, std::int64_t step, std::int64_t tokens, std::int64_t total_steps);

}  // namespace coxswain
