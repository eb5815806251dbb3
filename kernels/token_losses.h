// What one token adds to the losses of PPO, in double, for CPU and GPU alike.
//
// The clipped surrogate of PPO (Schulman et al. 2017, arXiv 1707.06347, eq. 7) as a loss of a token's -log p:
//
//   r = exp(log p - log p_old)      loss = sum w max(-A r, -A clip(r, 1 - e, 1 + e))
//   dloss / d(-log p) = w A r where the first is the greater (or both are equal), 0 where clipping is active
//
// Beside it, for the log: the weighted share of tokens where clipping is active; r - 1 - log r, an estimate of
// KL(old || new) that is never negative (Schulman, "Approximating KL divergence", 2020); and -log p, an estimate of the
// entropy.
//
// The value loss of PPO as OpenAI's code has it (baselines ppo2; Ziegler et al. 2019), clipped like the policy:
//
//   u = clip(v, v_old - c, v_old + c)      loss = 1/2 sum w max((v - R)^2, (u - R)^2)
//   dloss / dv = w (v - R) where the first is the greater (or both are equal), 0 where clipping is active
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/view.h"

namespace coxswain {

struct PolicyToken {
  double loss = 0, clipped = 0, divergence = 0, surprise = 0;  // times the weight
  double gradient = 0;                                         // dloss / d(-log p)

  COXSWAIN_EVERYWHERE PolicyToken(double minus_log_p, double old_log_prob, double advantage, double weight,
                                  double clip) {
    const double log_ratio = -minus_log_p - old_log_prob;
    const double ratio = std::exp(log_ratio);
    const double free = -advantage * ratio;
    const double bounded = -advantage * std::clamp(ratio, 1 - clip, 1 + clip);
    const bool active = bounded > free;
    loss = weight * (active ? bounded : free);
    clipped = active ? weight : 0;
    divergence = weight * (std::expm1(log_ratio) - log_ratio);
    surprise = weight * minus_log_p;
    if (!active) gradient = weight * advantage * ratio;
  }
};

struct ValueToken {
  double loss = 0, clipped = 0;  // times the weight; the loss twice
  double gradient = 0;           // dloss / dvalue

  COXSWAIN_EVERYWHERE ValueToken(double value, double old, double target, double weight, double reach) {
    const double error = value - target;
    const double bounded = std::clamp(value, old - reach, old + reach) - target;
    const bool active = bounded * bounded > error * error;
    loss = weight * (active ? bounded * bounded : error * error);
    clipped = active ? weight : 0;
    if (!active) gradient = weight * error;
  }
};

}  // namespace coxswain
