// The clipped surrogate of PPO (Schulman et al. 2017, arXiv 1707.06347, eq. 7) as a loss of a token's -log p:
//
//   r = exp(log p - log p_old)      loss = sum w max(-A r, -A clip(r, 1 - e, 1 + e))
//   dloss / d(-log p) = w A r where the first is the greater (or both are equal), 0 where clipping is active
//
// Beside it, for the log: the weighted share of tokens where clipping is active; r - 1 - log r, an estimate of
// KL(old || new) that is never negative (Schulman, "Approximating KL divergence", 2020); and -log p, an estimate of the
// entropy. A few numbers a token: in double, one after another.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {
namespace {

template <class T>
void policy_loss_typed(const Backend::PolicyLoss& op) {
  const T *token_loss = op.token_loss.as<T>(), *old_log_probs = op.old_log_probs.as<T>();
  const T *advantages = op.advantages.as<T>(), *weights = op.weights.as<T>();
  T* gradient = op.gradient.as<T>();
  double loss = 0, clipped = 0, divergence = 0, surprise = 0;
  const std::int64_t rows = op.weights.elements();
  for (std::int64_t i = 0; i < rows; ++i) {
    gradient[i] = 0;
    if (weights[i] == 0) continue;
    const double weight = weights[i], advantage = advantages[i], minus_log_p = token_loss[i];
    const double log_ratio = -minus_log_p - static_cast<double>(old_log_probs[i]);
    const double ratio = std::exp(log_ratio);
    const double free = -advantage * ratio;
    const double bounded = -advantage * std::clamp(ratio, 1 - op.clip, 1 + op.clip);
    const bool active = bounded > free;
    loss += weight * (active ? bounded : free);
    clipped += active ? weight : 0;
    divergence += weight * (std::expm1(log_ratio) - log_ratio);
    surprise += weight * minus_log_p;
    if (!active) gradient[i] = static_cast<T>(weight * advantage * ratio);
  }
  double* terms = op.terms.as<double>();
  terms[0] = loss, terms[1] = clipped, terms[2] = divergence, terms[3] = surprise;
}

}  // namespace

void CpuBackend::do_policy_loss(const PolicyLoss& op) {
  op.weights.dtype == DType::f64 ? policy_loss_typed<double>(op) : policy_loss_typed<float>(op);
}

}  // namespace coxswain
