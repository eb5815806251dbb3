// The clipped surrogate of PPO, one token after another; the formulas are in kernels/token_losses.h.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"
#include "kernels/token_losses.h"

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
    const PolicyToken token(token_loss[i], old_log_probs[i], advantages[i], weights[i], op.clip);
    loss += token.loss, clipped += token.clipped, divergence += token.divergence, surprise += token.surprise;
    gradient[i] = static_cast<T>(token.gradient);
  }
  double* terms = op.terms.as<double>();
  terms[0] = loss, terms[1] = clipped, terms[2] = divergence, terms[3] = surprise;
}

}  // namespace

void CpuBackend::do_policy_loss(const PolicyLoss& op) {
  op.weights.dtype == DType::f64 ? policy_loss_typed<double>(op) : policy_loss_typed<float>(op);
}

}  // namespace coxswain
