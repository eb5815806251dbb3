// The clipped value loss of PPO; the formulas are in kernels/token_losses.h. One block, as for the policy's,
// and the same floor: five numbers a token.
#include <limits>

#include "kernels/cuda/common.cuh"
#include "kernels/token_losses.h"

namespace coxswain {
namespace {

template <class T>
struct ValueArrays {
  const T *values, *old_values, *returns, *weights;
  double reach;
  std::int64_t rows;
  T* gradient;
  double* terms;
};

template <class T>
__global__ void __launch_bounds__(kThreads) value_loss_kernel(ValueArrays<T> op) {
  double loss = 0, clipped = 0;
  for (std::int64_t i = threadIdx.x; i < op.rows; i += kThreads) {
    op.gradient[i] = 0;
    if (op.weights[i] == 0) continue;
    const ValueToken token(op.values[i], op.old_values[i], op.returns[i], op.weights[i], op.reach);
    loss += token.loss, clipped += token.clipped;
    op.gradient[i] = static_cast<T>(token.gradient);
  }
  loss = join_block(loss, Add());
  clipped = join_block(clipped, Add());
  if (threadIdx.x == 0) op.terms[0] = 0.5 * loss, op.terms[1] = clipped;
}

template <class T>
void value_loss(cudaStream_t stream, const Backend::ValueLoss& op) {
  const double reach = op.clip > 0 ? op.clip : std::numeric_limits<double>::infinity();
  const ValueArrays<T> arrays{
      op.values.as<T>(),     op.old_values.as<T>(), op.returns.as<T>(),   op.weights.as<T>(), reach,
      op.weights.elements(), op.gradient.as<T>(),   op.terms.as<double>()};
  launch(stream, {dim3(1)}, value_loss_kernel<T>, arrays);
}

}  // namespace

void CudaBackend::do_value_loss(const ValueLoss& op) {
  op.weights.dtype == DType::f64 ? coxswain::value_loss<double>(stream(), op)
                                 : coxswain::value_loss<float>(stream(), op);
}

}  // namespace coxswain
