// The clipped surrogate of PPO; the formulas are in kernels/token_losses.h. One block: a few numbers a token, in
// double; every thread adds its tokens in turn and a tree joins the threads. Floor: five numbers a token through
// memory, 20 bytes; one block is far from it, and with some thousand tokens still a small part of the work that a token
// costs.
#include "kernels/cuda/common.cuh"
#include "kernels/token_losses.h"

namespace coxswain {
namespace {

template <class T>
struct PolicyArrays {
  const T *token_loss, *old_log_probs, *advantages, *weights;
  double clip;
  std::int64_t rows;
  T* gradient;
  double* terms;
};

template <class T>
__global__ void __launch_bounds__(kThreads) policy_loss_kernel(PolicyArrays<T> op) {
  double loss = 0, clipped = 0, divergence = 0, surprise = 0;
  for (std::int64_t i = threadIdx.x; i < op.rows; i += kThreads) {
    op.gradient[i] = 0;
    if (op.weights[i] == 0) continue;
    const PolicyToken token(op.token_loss[i], op.old_log_probs[i], op.advantages[i], op.weights[i], op.clip);
    loss += token.loss, clipped += token.clipped, divergence += token.divergence, surprise += token.surprise;
    op.gradient[i] = static_cast<T>(token.gradient);
  }
  const double sums[] = {join_block(loss, Add()), join_block(clipped, Add()), join_block(divergence, Add()),
                         join_block(surprise, Add())};
  if (threadIdx.x == 0)
    for (int i = 0; i < 4; ++i) op.terms[i] = sums[i];
}

template <class T>
void policy_loss(cudaStream_t stream, const Backend::PolicyLoss& op) {
  const PolicyArrays<T> arrays{
      op.token_loss.as<T>(), op.old_log_probs.as<T>(), op.advantages.as<T>(), op.weights.as<T>(), op.clip,
      op.weights.elements(), op.gradient.as<T>(),      op.terms.as<double>()};
  launch(stream, {dim3(1)}, policy_loss_kernel<T>, arrays);
}

}  // namespace

void CudaBackend::do_policy_loss(const PolicyLoss& op) {
  op.weights.dtype == DType::f64 ? coxswain::policy_loss<double>(stream(), op)
                                 : coxswain::policy_loss<float>(stream(), op);
}

}  // namespace coxswain
