// Cross-entropy over a vocabulary cut into shards of columns, see kernels/cpu/cross_entropy.cpp for the formulas. A
// block has one row. Floor: logits read once for the statistics (their second reading comes from the second-level
// cache), read and written once for the gradient.
#include <limits>

#include "kernels/cuda/strips.cuh"

namespace coxswain {
namespace {

template <class T>
struct CrossEntropy {
  Matrix<T> logits;
  const std::int32_t* targets;
  std::int64_t first_column, valid, columns;

  // Column of the row's target, -1 if it is not held here.
  __device__ std::int64_t target(std::int64_t row) const {
    const std::int64_t column = targets[row] - first_column;
    return column >= 0 && column < valid ? column : -1;
  }
};

template <class T, bool wide>
__global__ void __launch_bounds__(kThreads) cross_entropy_stats_kernel(CrossEntropy<T> op, Real<T>* stats) {
  using R = Real<T>;
  const std::int64_t row = blockIdx.x, column = op.target(row);
  const T* x = op.logits[row];
  R highest = -std::numeric_limits<R>::infinity(), sum = 0;
  each_strip<T, wide, true>(op.valid, [&]<int width>(std::int64_t c) {
    const Strip<T, width> values(x + c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) highest = Greater()(highest, values[i]);
  });
  highest = join_block(highest, Greater());
  each_strip<T, wide, true>(op.valid, [&]<int width>(std::int64_t c) {
    const Strip<T, width> values(x + c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) sum += exp_fast(values[i] - highest);
  });
  sum = join_block(sum, Add());
  if (threadIdx.x > 0) return;
  stats[3 * row] = highest;
  stats[3 * row + 1] = sum;
  stats[3 * row + 2] = column >= 0 ? load(x[column]) : R(0);
}

template <class R>
struct CombineRow {
  const R* stats;  // [shards, rows, 3]
  std::int64_t shards, rows;
  R *loss, *log_sum_exp;

  __device__ void operator()(std::int64_t, std::int64_t r) const {
    R highest = -std::numeric_limits<R>::infinity(), sum = 0, target = 0;
    for (std::int64_t s = 0; s < shards; ++s) highest = Greater()(highest, stats[(s * rows + r) * 3]);
    for (std::int64_t s = 0; s < shards; ++s) {
      const R* part = stats + (s * rows + r) * 3;
      sum = multiply_add(part[1], exp_fast(part[0] - highest), sum);
      target += part[2];
    }
    log_sum_exp[r] = highest + std::log(sum);
    loss[r] = log_sum_exp[r] - target;
  }
};

template <class T>
struct CrossEntropyGradientElement {
  CrossEntropy<T> op;
  const Real<T>*log_sum_exp, *weight;

  template <int width>
  __device__ void strip(std::int64_t r, std::int64_t c) const {
    using R = Real<T>;
    const std::int64_t target = op.target(r);
    const R total = log_sum_exp[r], factor = weight[r];
    Strip<T, width> x(op.logits[r] + c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) {
      const R probability = exp_fast(x[i] - total);
      const R slope = (c + i == target ? probability - R(1) : probability) * factor;
      x[i] = c + i < op.valid ? slope : R(0);
    }
    x.store(op.logits[r] + c);
  }
};

}  // namespace

void CudaBackend::do_cross_entropy_stats(TensorView logits, TensorView targets, std::int64_t first_column,
                                         std::int64_t valid, TensorView stats) {
  dispatch_type(logits.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const CrossEntropy<T> op{Matrix<T>(logits), targets.as<std::int32_t>(), first_column, valid, logits.shape[1]};
    launch(stream(), {dim3(pieces(logits.shape[0], 1))},
           rows_are_wide({logits}) ? cross_entropy_stats_kernel<T, true> : cross_entropy_stats_kernel<T, false>, op,
           stats.as<Real<T>>());
  });
}

void CudaBackend::do_cross_entropy_combine(TensorView stats, TensorView loss, TensorView log_sum_exp) {
  const auto combine = [&](auto zero) {
    using R = decltype(zero);
    elementwise(stream(), 1, stats.shape[1],
                CombineRow<R>{stats.as<R>(), stats.shape[0], stats.shape[1], loss.as<R>(), log_sum_exp.as<R>()});
  };
  stats.dtype == DType::f64 ? combine(0.0) : combine(0.0f);
}

void CudaBackend::do_cross_entropy_gradient(TensorView targets, TensorView log_sum_exp, TensorView weight,
                                            std::int64_t first_column, std::int64_t valid, TensorView logits) {
  dispatch_type(logits.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const CrossEntropy<T> op{Matrix<T>(logits), targets.as<std::int32_t>(), first_column, valid, logits.shape[1]};
    strips<T>(stream(), logits.shape[0], logits.shape[1], {logits},
              CrossEntropyGradientElement<T>{op, log_sum_exp.as<R>(), weight.as<R>()});
  });
}

}  // namespace coxswain
