// Residual dropout outside of a norm: sum = x + dropout(delta + bias), and its gradient to delta.
#include "kernels/dropout.h"

#include "kernels/cuda/residual.cuh"

namespace coxswain {
namespace {

template <class T>
struct ResidualElement {
  Residual<T> residual;
  Matrix<T> sum;

  __device__ void operator()(std::int64_t r, std::int64_t c) const { put(sum[r][c], residual.at(r, c)); }
};

template <class T>
struct DropoutGradientElement {
  Matrix<T> dsum, ddelta;
  DropoutMask mask;
  bool drops;

  __device__ void operator()(std::int64_t r, std::int64_t c) const {
    const Real<T> slope = load(dsum[r][c]);
    put(ddelta[r][c], drops ? slope * dropout_factor<Real<T>>(mask, r, c) : slope);
  }
};

}  // namespace

void CudaBackend::do_residual_add(TensorView x, TensorView delta, TensorView bias, const DropoutSpec& dropout,
                                  TensorView sum) {
  dispatch_type(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    elementwise(stream(), x.shape[0], x.shape[1],
                ResidualElement<T>{Residual<T>(x, delta, bias, dropout), Matrix<T>(sum)});
  });
}

void CudaBackend::do_dropout_gradient(TensorView dsum, const DropoutSpec& dropout, TensorView ddelta) {
  dispatch_type(dsum.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const DropoutMask mask(dropout, dsum.shape[1]);
    elementwise(stream(), dsum.shape[0], dsum.shape[1],
                DropoutGradientElement<T>{Matrix<T>(dsum), Matrix<T>(ddelta), mask, mask.active()});
  });
}

}  // namespace coxswain
