// Cross-entropy over a vocabulary cut into shards of columns: each shard's maximum and sum of exponentials, their
// combination in shard order, and the gradient in place of the logits.
//
// loss = log sum exp(logit) - logit of the target; dlogit = (softmax - one_hot(target)) * weight.
#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {
namespace {

template <class R, class T>
R highest_of(const T* x, std::int64_t count) {
  R highest = -std::numeric_limits<R>::infinity();
  constexpr std::int64_t kPart = 4 * kAhead;
  for (std::int64_t first = 0; first < count; first += kPart) {
    const T* part = x + first;
    prefetch_ahead(part + kPart, kPart);
    highest = lane_max<R>(std::min(kPart, count - first), highest, [part](std::int64_t c) { return load(part[c]); });
  }
  return highest;
}

}  // namespace

void CpuBackend::do_cross_entropy_stats(TensorView logits, TensorView targets, std::int64_t first_column,
                                        std::int64_t valid, TensorView stats) {
  const std::int64_t rows = logits.shape[0];
  const std::int32_t* target = targets.as<std::int32_t>();
  dispatch_type(logits.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const Rows<T> logit_rows(logits);
    const Rows<R> stats_rows(stats);
#pragma omp parallel for schedule(static) if (rows * valid >= kParallelElements)
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* x = logit_rows[r];
      const R highest = highest_of<R>(x, valid);
      const R sum = lane_sum<R>(valid, [=](std::int64_t c) { return exp_fast(load(x[c]) - highest); });
      const std::int64_t column = target[r] - first_column;
      stats_rows[r][0] = highest;
      stats_rows[r][1] = sum;
      stats_rows[r][2] = column >= 0 && column < valid ? load(x[column]) : R(0);
    }
  });
}

void CpuBackend::do_cross_entropy_combine(TensorView stats, TensorView loss, TensorView log_sum_exp) {
  const std::int64_t shards = stats.shape[0], rows = stats.shape[1];
  dispatch_type(stats.dtype, [&](auto tag) {
    using R = Real<typename decltype(tag)::type>;
    const R* shard_stats = stats.as<R>();
    R *losses = loss.as<R>(), *sums = log_sum_exp.as<R>();
    for (std::int64_t r = 0; r < rows; ++r) {
      R highest = -std::numeric_limits<R>::infinity(), sum = 0, target = 0;
      for (std::int64_t s = 0; s < shards; ++s) highest = std::max(highest, shard_stats[(s * rows + r) * 3]);
      for (std::int64_t s = 0; s < shards; ++s) {
        const R* part = shard_stats + (s * rows + r) * 3;
        sum = multiply_add(part[1], exp_fast(part[0] - highest), sum);
        target += part[2];
      }
      sums[r] = highest + std::log(sum);
      losses[r] = sums[r] - target;
    }
  });
}

void CpuBackend::do_cross_entropy_gradient(TensorView targets, TensorView log_sum_exp, TensorView weight,
                                           std::int64_t first_column, std::int64_t valid, TensorView logits) {
  const std::int64_t rows = logits.shape[0], columns = logits.shape[1];
  const std::int32_t* target = targets.as<std::int32_t>();
  dispatch_type(logits.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const Rows<T> logit_rows(logits);
    const R *sums = log_sum_exp.as<R>(), *weights = weight.as<R>();
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
    for (std::int64_t r = 0; r < rows; ++r) {
      T* x = logit_rows[r];
      const R sum = sums[r], scale = weights[r];
      const std::int64_t column = target[r] - first_column;
      const bool here = column >= 0 && column < valid;
      const R of_target = here ? (exp_fast(load(x[column]) - sum) - R(1)) * scale : R(0);
      for (std::int64_t first = 0; first < valid; first += kAhead) {
        const std::int64_t last = std::min(first + kAhead, valid);
        prefetch_ahead(x + first + 4 * kAhead, kAhead);
#pragma omp simd
        for (std::int64_t c = first; c < last; ++c) put(x[c], exp_fast(load(x[c]) - sum) * scale);
      }
      if (here) put(x[column], of_target);
      std::fill(x + valid, x + columns, T{});
    }
  });
}

}  // namespace coxswain
