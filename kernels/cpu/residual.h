// One row of the residual stream: sum = x + factor * (delta + bias), rounded once to the stored type.
#pragma once

#include "kernels/cpu/rows.h"

namespace coxswain {

// bias and factor (the dropout mask) may be null.
template <class T, class R>
inline void add_residual(const T* x, const T* delta, const R* bias, const R* factor, T* sum, std::int64_t n) {
  const auto each = [=](const auto& branch) {
#pragma omp simd
    for (std::int64_t c = 0; c < n; ++c) put(sum[c], branch(load(x[c]), load(delta[c]), c));
  };
  if (factor && bias) return each([=](R a, R b, std::int64_t c) { return multiply_add(b + bias[c], factor[c], a); });
  if (factor) return each([=](R a, R b, std::int64_t c) { return multiply_add(b, factor[c], a); });
  if (bias) return each([=](R a, R b, std::int64_t c) { return a + (b + bias[c]); });
  each([](R a, R b, std::int64_t) { return a + b; });
}

}  // namespace coxswain
