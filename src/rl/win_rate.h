// How often one policy's response is judged better than the other's to the same prompt.
#pragma once

#include <span>

#include "rl/proportion.h"

namespace coxswain {

// The share of prompts on which `ours` scores higher than `theirs`; equal scores count half. [prompts] each.
Proportion win_rate(std::span<const double> ours, std::span<const double> theirs);

struct LengthControlled {
  Proportion rate;           // of wins if both were equally long
  double length_effect = 0;  // phi below: positive where longer responses win
};

// Judges like long responses. After AlpacaEval 2 (Dubois et al. 2024, arXiv 2404.04475) a logistic regression
//
//   P(we win prompt i) = sigma(theta + phi tanh(d_i / s)),      d_i our length less theirs, s its standard deviation
//
// explains wins by what the policy is (theta) and by length (phi); the rate is sigma(theta), that is at equal length.
// Theirs has a term for each prompt's difficulty, fitted on many models; with two models there is nothing to fit it on.
// A tie is half a win. phi has a normal prior of variance 10, so that the fit is finite where length decides all; where
// one side wins everything no model can be fitted and the plain rate is returned. The interval is sigma of theta plus
// and minus 1.96 standard errors (the inverse of the curvature). lengths: tokens, [prompts] each.
LengthControlled length_controlled_win_rate(std::span<const double> ours, std::span<const double> theirs,
                                            std::span<const double> our_lengths, std::span<const double> their_lengths);

}  // namespace coxswain
