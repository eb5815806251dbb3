// Residual dropout outside of a norm: sum = x + dropout(delta + bias), and its gradient to delta.
// Floor: x and delta through memory once and the sum back, 6 bytes an element of bf16; the gradient 4.
#include "kernels/dropout.h"

#include "kernels/cuda/residual.cuh"

namespace coxswain {
namespace {

template <class T>
struct ResidualElement {
  Residual<T> residual;
  Matrix<T> sum;

  template <int width>
  __device__ void strip(std::int64_t r, std::int64_t c) const {
    residual.template at<width>(r, c).store(sum[r] + c);
  }
};

template <class T>
struct DropoutGradientElement {
  Matrix<T> dsum, ddelta;
  DropoutMask mask;
  bool drops;

  template <int width>
  __device__ void strip(std::int64_t r, std::int64_t c) const {
    Strip<T, width> slopes(dsum[r] + c);
    if (drops) drop(mask, r, c, width, slopes.values);
    slopes.store(ddelta[r] + c);
  }
};

}  // namespace

void CudaBackend::do_residual_add(TensorView x, TensorView delta, TensorView bias, const DropoutSpec& dropout,
                                  TensorView sum) {
  dispatch_type(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    strips<T>(stream(), x.shape[0], x.shape[1], {x, delta, bias, sum},
              ResidualElement<T>{Residual<T>(x, delta, bias, dropout), Matrix<T>(sum)});
  });
}

void CudaBackend::do_dropout_gradient(TensorView dsum, const DropoutSpec& dropout, TensorView ddelta) {
  dispatch_type(dsum.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const DropoutMask mask(dropout, dsum.shape[1]);
    strips<T>(stream(), dsum.shape[0], dsum.shape[1], {dsum, ddelta},
              DropoutGradientElement<T>{Matrix<T>(dsum), Matrix<T>(ddelta), mask, mask.active()});
  });
}

}  // namespace coxswain
