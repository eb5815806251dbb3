// The clipped value loss of PPO, one token after another; the formulas are in kernels/token_losses.h.
#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"
#include "kernels/token_losses.h"

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
    const ValueToken token(values[i], old_values[i], returns[i], weights[i], reach);
    sum += token.loss, clipped += token.clipped;
    gradient[i] = static_cast<T>(token.gradient);
  }
  double* terms = op.terms.as<double>();
  terms[0] = 0.5 * sum, terms[1] = clipped;
}

}  // namespace

void CpuBackend::do_value_loss(const ValueLoss& op) {
  op.weights.dtype == DType::f64 ? value_loss_typed<double>(op) : value_loss_typed<float>(op);
}

}  // namespace coxswain
