// One element of the residual stream: x + factor * (delta + bias), before it is rounded to the stored type.
#pragma once

#include "kernels/cuda/common.cuh"
#include "kernels/dropout.h"

namespace coxswain {

// Row r, column c of the view. A thread draws four words and uses one.
template <class R>
__device__ R dropout_factor(const DropoutMask& mask, std::int64_t row, std::int64_t column) {
  return mask.template factor<R>(philox_word(mask.key(), mask.start_of(row) + static_cast<std::uint64_t>(column)));
}

template <class T>
struct Residual {
  using R = Real<T>;
  Matrix<T> x, delta;
  Vector<R> bias;  // or empty
  DropoutMask mask;
  bool drops;

  Residual(const TensorView& x_view, const TensorView& delta_view, const TensorView& bias_view,
           const DropoutSpec& dropout)
      : x(x_view), delta(delta_view), bias(bias_view), mask(dropout, x_view.shape[1]), drops(mask.active()) {}

  __device__ R at(std::int64_t r, std::int64_t c) const {
    const R before = load(x[r][c]), added = load(delta[r][c]);
    const R change = bias ? added + bias[c] : added;
    return drops ? multiply_add(change, dropout_factor<R>(mask, r, c), before) : before + change;
  }
};

}  // namespace coxswain
