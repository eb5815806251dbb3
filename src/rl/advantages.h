// Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, equation 16) over the responses of a
// rollout, each for itself, and whitening over all of them.
//
//   delta_j = r_j + discount V_{j+1} - V_j      A_j = delta_j + discount lambda A_{j+1}      R_j = A_j + V_j
//
// Nothing follows the last token of a response, cut off by the limit of length or not: V and A are 0 behind it.
#pragma once

#include "rl/rollout.h"

namespace coxswain {

// Fills advantages and returns of every episode from its rewards and values.
void estimate_advantages(Rollout& rollout, double discount, double lambda);

enum class WhitenedMean { kept, zero };

// x <- (x - mean) / sqrt(variance + 1e-8), plus the mean where it is kept. Mean and population variance are those of
// all response tokens of the rollout, which every rank holds whole: one serial sum in the order of the episodes.
// Ziegler et al. (2019) whiten the rewards with their mean kept and, after the returns are known, the advantages.
void whiten(Rollout& rollout, std::vector<float> Episode::*numbers, WhitenedMean mean);

}  // namespace coxswain
