// Residual dropout outside of a norm: sum = x + dropout(delta + bias), and its gradient to delta.
#include "kernels/cpu/dropout.h"

#include <omp.h>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/residual.h"

namespace coxswain {

void CpuBackend::do_residual_add(TensorView x, TensorView delta, TensorView bias, const DropoutSpec& dropout,
                                 TensorView sum) {
  dispatch_type(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const std::int64_t rows = x.shape[0], columns = x.shape[1];
    const RealVector<R> bias_values(*this, bias);
    const DropoutRow mask(dropout, columns);
    const Rows<T> x_rows(x), delta_rows(delta), sum_rows(sum);
    const Scratch<R> factors(*this, mask.active() ? omp_get_max_threads() * columns : 0);
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
    for (std::int64_t r = 0; r < rows; ++r) {
      R* factor = mask.active() ? factors.data() + omp_get_thread_num() * columns : nullptr;
      if (factor) mask.fill(r, factor);
      add_residual(x_rows[r], delta_rows[r], bias_values.data(), factor, sum_rows[r], columns);
    }
  });
}

void CpuBackend::do_dropout_gradient(TensorView dsum, const DropoutSpec& dropout, TensorView ddelta) {
  dispatch_type(dsum.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const std::int64_t rows = dsum.shape[0], columns = dsum.shape[1];
    const DropoutRow mask(dropout, columns);
    const Rows<T> dsum_rows(dsum), ddelta_rows(ddelta);
    const Scratch<R> factors(*this, mask.active() ? omp_get_max_threads() * columns : 0);
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* from = dsum_rows[r];
      T* to = ddelta_rows[r];
      if (!mask.active()) {
        if (from != to) std::copy_n(from, columns, to);
        continue;
      }
      R* factor = factors.data() + omp_get_thread_num() * columns;
      mask.fill(r, factor);
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c) put(to[c], load(from[c]) * factor[c]);
    }
  });
}

}  // namespace coxswain
