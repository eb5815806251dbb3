// Cross-entropy over a vocabulary cut into shards of columns, see kernels/cpu/cross_entropy.cpp for the formulas. A
// block has one row, and asks for several strips of it before it uses the first. Floor: logits read once for the
// statistics, read and written once for the gradient.
//
// The statistics take one pass: a thread keeps its highest logit so far and the sum of e^(x - highest), which shrinks
// by e^(before - now) where a higher one comes. A thread's strips come in turns of kStripsAtOnce, and threads are
// joined as in common.cuh: one order, which follows from the number of columns.
#include <limits>

#include "kernels/cuda/strips.cuh"

namespace coxswain {
namespace {

constexpr int kStripsAtOnce = 4;

// e^x with the error of the product's rounding: a tenth of exp_fast's instructions.
__device__ float exp_quick(float x) { return ptx::exp2(x * 1.44269504f); }
__device__ double exp_quick(double x) { return std::exp(x); }

// A turn: one thread's next strips of a row of n elements. Whole ones are all asked for at once.
template <class T, bool wide>
class Turn {
 public:
  static constexpr int kWidth = kPack<T>, kStep = kThreads * kWidth, kColumns = kStep * kStripsAtOnce;

  __device__ static int first_column() { return static_cast<int>(threadIdx.x) * kWidth; }
  __device__ Turn(const T* row, int first, int n) : row_(row), first_(first), n_(n) {
    COXSWAIN_UNROLL
    for (int s = 0; s < kStripsAtOnce; ++s)
      if (is_whole(s)) words_[s] = ptx::load_wide(row + column(s));
  }
  __device__ int column(int s) const { return first_ + s * kStep; }
  __device__ bool is_whole(int s) const { return wide && column(s) + kWidth <= n_; }
  // Minus infinity behind the row's end.
  __device__ Strip<T, kWidth> at(int s) const {
    if (is_whole(s)) return Strip<T, kWidth>(words_[s]);
    Strip<T, kWidth> values;
    COXSWAIN_UNROLL
    for (int i = 0; i < kWidth; ++i)
      values[i] = column(s) + i < n_ ? load(row_[column(s) + i]) : -std::numeric_limits<Real<T>>::infinity();
    return values;
  }

 private:
  const T* row_;
  int first_, n_;
  uint4 words_[kStripsAtOnce];
};

template <class T>
struct CrossEntropy {
  Matrix<T> logits;
  const std::int32_t* targets;
  std::int64_t first_column;
  int valid, columns;

  CrossEntropy(const TensorView& of_logits, const TensorView& of_targets, std::int64_t first, std::int64_t are_valid)
      : logits(of_logits),
        targets(of_targets.as<std::int32_t>()),
        first_column(first),
        valid(static_cast<int>(are_valid)),
        columns(static_cast<int>(of_logits.shape[1])) {}
  // Column of the row's target, -1 if it is not held here.
  __device__ int target(std::int64_t row) const {
    const std::int64_t column = targets[row] - first_column;
    return column >= 0 && column < valid ? static_cast<int>(column) : -1;
  }
};

template <class T, bool wide>
__global__ void __launch_bounds__(kThreads) cross_entropy_stats_kernel(CrossEntropy<T> op, Real<T>* stats) {
  using R = Real<T>;
  using Part = Turn<T, wide>;
  constexpr R kNone = -std::numeric_limits<R>::infinity();
  const std::int64_t row = blockIdx.x;
  const int column = op.target(row);
  const T* x = op.logits[row];
  R highest = kNone, sum = 0;
  for (int first = Part::first_column(); first < op.valid; first += Part::kColumns) {
    const Part part(x, first, op.valid);
    R higher = highest;
    COXSWAIN_UNROLL
    for (int s = 0; s < kStripsAtOnce; ++s)
      if (part.column(s) < op.valid) {
        const auto strip = part.at(s);
        COXSWAIN_UNROLL
        for (R value : strip.values) higher = Greater()(higher, value);
      }
    if (higher > highest) sum *= exp_quick(highest - higher), highest = higher;
    const R base = highest == kNone ? R(0) : highest;
    COXSWAIN_UNROLL
    for (int s = 0; s < kStripsAtOnce; ++s)
      if (part.column(s) < op.valid) {
        const auto strip = part.at(s);
        COXSWAIN_UNROLL
        for (R value : strip.values) sum += exp_quick(value - base);
      }
  }
  const R of_row = join_block(highest, Greater());
  if (highest < of_row) sum *= exp_quick(highest - of_row);
  sum = join_block(sum, Add());
  if (threadIdx.x > 0) return;
  stats[3 * row] = of_row;
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
struct GradientOfRow {
  using R = Real<T>;
  int target, valid;
  R log_sum_exp, weight;

  template <int width>
  __device__ void operator()(Strip<T, width>& x, int c) const {
    COXSWAIN_UNROLL
    for (R& value : x.values) value = exp_quick(value - log_sum_exp);
    if (c <= target && target < c + width) {
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i)
        if (c + i == target) x[i] -= R(1);
    }
    COXSWAIN_UNROLL
    for (R& value : x.values) value *= weight;
    if (c + width > valid) {
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i)
        if (c + i >= valid) x[i] = R(0);
    }
  }
};

template <class T, bool wide>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_gradient_kernel(CrossEntropy<T> op, const Real<T>* log_sum_exp, const Real<T>* weight) {
  using Part = Turn<T, wide>;
  const std::int64_t row = blockIdx.x;
  const GradientOfRow<T> gradient{op.target(row), op.valid, log_sum_exp[row], weight[row]};
  T* x = op.logits[row];
  for (int first = Part::first_column(); first < op.columns; first += Part::kColumns) {
    const Part part(x, first, op.columns);
    COXSWAIN_UNROLL
    for (int s = 0; s < kStripsAtOnce; ++s) {
      const int c = part.column(s);
      if (part.is_whole(s)) {
        auto strip = part.at(s);
        gradient(strip, c);
        strip.store(x + c);
      } else {
        for (int i = c; i < op.columns && i < c + Part::kWidth; ++i) {
          Strip<T, 1> one(x + i);
          gradient(one, i);
          one.store(x + i);
        }
      }
    }
  }
}

}  // namespace

void CudaBackend::do_cross_entropy_stats(TensorView logits, TensorView targets, std::int64_t first_column,
                                         std::int64_t valid, TensorView stats) {
  dispatch_type(logits.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(stream(), {dim3(pieces(logits.shape[0], 1))},
           rows_are_wide({logits}) ? cross_entropy_stats_kernel<T, true> : cross_entropy_stats_kernel<T, false>,
           CrossEntropy<T>(logits, targets, first_column, valid), stats.as<Real<T>>());
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
    launch(stream(), {dim3(pieces(logits.shape[0], 1))},
           rows_are_wide({logits}) ? cross_entropy_gradient_kernel<T, true> : cross_entropy_gradient_kernel<T, false>,
           CrossEntropy<T>(logits, targets, first_column, valid), log_sum_exp.as<R>(), weight.as<R>());
  });
}

}  // namespace coxswain
