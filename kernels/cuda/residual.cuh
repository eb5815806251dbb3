// One element of the residual stream: x + factor * (delta + bias), before it is rounded to the stored type.
#pragma once

#include "kernels/cuda/strips.cuh"
#include "kernels/dropout.h"

namespace coxswain {

// Multiplies values [count] by the factors of row `row`, columns from `column` on. Four neighbours share a draw.
template <class R>
__device__ void drop(const DropoutMask& mask, std::int64_t row, std::int64_t column, int count, R* values) {
  const std::uint64_t first = mask.start_of(row) + static_cast<std::uint64_t>(column);
  std::array<std::uint32_t, 4> words = philox(mask.key(), first / 4);
  COXSWAIN_UNROLL
  for (int i = 0; i < count; ++i) {
    const auto place = static_cast<unsigned>((first + static_cast<unsigned>(i)) % 4);
    if (i > 0 && place == 0) words = philox(mask.key(), (first + static_cast<unsigned>(i)) / 4);
    const std::uint32_t low = place == 0 ? words[0] : words[1], high = place == 2 ? words[2] : words[3];
    values[i] *= mask.template factor<R>(place < 2 ? low : high);
  }
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

  template <int width>
  __device__ Strip<T, width> at(std::int64_t r, std::int64_t c) const {
    return joined<width>(r, c, Strip<T, width>(x[r] + c), Strip<T, width>(delta[r] + c));
  }
  // Of x and delta at this place.
  template <int width>
  __device__ Strip<T, width> joined(std::int64_t r, std::int64_t c, Strip<T, width> sum, Strip<T, width> change) const {
    if (bias) {
      const Strip<R, width> added = strip_of<width>(bias, c);
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) change[i] += added[i];
    }
    R factors[width];
    COXSWAIN_UNROLL
    for (R& factor : factors) factor = 1;
    if (drops) drop(mask, r, c, width, factors);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) sum[i] = multiply_add(change[i], factors[i], sum[i]);
    return sum;
  }
};

}  // namespace coxswain
