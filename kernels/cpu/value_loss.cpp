// The value loss of PPO as OpenAI's code has it (baselines ppo2; Ziegler et al. 2019), clipped like the policy:
//
//   u = clip(v, v_old - c, v_old + c)      loss = 1/2 sum w max((v - R)^2, (u - R)^2)
//   dloss / dv = w (v - R) where the first is the greater (or both are equal), 0 where clipping is active
//
// In double, one token after another.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {
namespace {

template <class T>
void value_loss_typed(const Backend::ValueLoss& op) {
  const T *values = op.values.as<T>(), *old_values = op.old_values.as<T>();
  const T *returns = op.returns.as<T>(), *weights = op.weights.as<T>();
  T* gradient = op.gradient.as<T>();
  const double reach = op.clip > 0 ? op.clip : std::numeric_limits<double>::infinity();
  double sum = 0, clipped = 0;
  const std::int64_t rows = op.weights.elements();
  for (std::int64_t i = 0; i < rows; ++i) {
    gradient[i] = 0;
    if (weights[i] == 0) continue;
    const double weight = weights[i], value = values[i], target = returns[i], old = old_values[i];
    const double error = value - target;
    const double bounded = std::clamp(value, old - reach, old + reach) - target;
    const bool active = bounded * bounded > error * error;
    sum += weight * (active ? bounded * bounded : error * error);
    clipped += active ? weight : 0;
    if (!active) gradient[i] = static_cast<T>(weight * error);
  }
  double* terms = op.terms.as<double>();
  terms[0] = 0.5 * sum, terms[1] = clipped;
}

}  // namespace

void CpuBackend::do_value_loss(const ValueLoss& op) {
  op.weights.dtype == DType::f64 ? value_loss_typed<double>(op) : value_loss_typed<float>(op);
}

}  // namespace coxswain
