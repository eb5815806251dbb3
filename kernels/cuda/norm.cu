// LayerNorm and RMSNorm, fused with the residual stream; see kernels/cpu/norm.cpp for the formulas.
//
// A block has one row, a thread every 256th strip of 16 bytes: it reads back only what it has written itself. Floor: x,
// delta, sum and y through memory once (the row's second and third reading come from the caches).
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/residual.cuh"

namespace coxswain {
namespace {

template <class T>
struct NormForward {
  using R = Real<T>;
  Residual<T> residual;
  bool adds, centres;
  R epsilon;
  Vector<R> gamma, beta;
  Matrix<T> sum, y;
  R* stats;
  std::int64_t columns;
};

template <class T, bool wide>
__global__ void __launch_bounds__(kThreads) residual_norm_kernel(NormForward<T> op) {
  using R = Real<T>;
  const std::int64_t row = blockIdx.x, n = op.columns;
  const T* x = op.residual.x[row];
  if (op.adds) {
    T* sum = op.sum[row];
    each_strip<T, wide>(n, [&]<int width>(std::int64_t c) { op.residual.template at<width>(row, c).store(sum + c); });
    x = sum;  // as stored: the gradient and a recomputation see the same rounded values
  }
  R total = 0, squares = 0;
  if (op.centres)
    each_strip<T, wide>(n, [&]<int width>(std::int64_t c) {
      const Strip<T, width> values(x + c);
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) total += values[i];
    });
  const R mean = op.centres ? join_block(total, Add()) / static_cast<R>(n) : R(0);
  each_strip<T, wide>(n, [&]<int width>(std::int64_t c) {
    const Strip<T, width> values(x + c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) squares += (values[i] - mean) * (values[i] - mean);
  });
  squares = join_block(squares, Add());
  const R inverse = R(1) / std::sqrt(squares / static_cast<R>(n) + op.epsilon);
  T* y = op.y[row];
  each_strip<T, wide>(n, [&]<int width>(std::int64_t c) {
    Strip<T, width> values(x + c);
    Strip<R, width> shift;
    const Strip<R, width> scale = strip_of<width>(op.gamma, c);
    if (op.beta) shift = strip_of<width>(op.beta, c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) {
      const R normed = (values[i] - mean) * inverse;
      values[i] = op.beta ? multiply_add(normed, scale[i], shift[i]) : normed * scale[i];
    }
    values.store(y + c);
  });
  if (threadIdx.x == 0) op.stats[2 * row] = mean, op.stats[2 * row + 1] = inverse;
}

template <class T>
struct NormBackward {
  using R = Real<T>;
  Matrix<T> x, dy, dresidual, dx;
  Vector<R> gamma;
  const R* stats;
  bool centres;
  std::int64_t columns;
};

template <class T, bool wide>
__global__ void __launch_bounds__(kThreads) norm_gradient_kernel(NormBackward<T> op) {
  using R = Real<T>;
  const std::int64_t row = blockIdx.x, n = op.columns;
  const R count = static_cast<R>(n), mean = op.stats[2 * row], inverse = op.stats[2 * row + 1];
  const T *x = op.x[row], *dy = op.dy[row];
  R slopes = 0, products = 0;
  each_strip<T, wide>(n, [&]<int width>(std::int64_t c) {
    const Strip<T, width> values(x + c), gradients(dy + c);
    const Strip<R, width> scale = strip_of<width>(op.gamma, c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) {
      const R slope = gradients[i] * scale[i];
      slopes += slope;
      products += slope * ((values[i] - mean) * inverse);
    }
  });
  const R mean_slope = op.centres ? join_block(slopes, Add()) / count : R(0);
  const R mean_product = join_block(products, Add()) / count;
  each_strip<T, wide>(n, [&]<int width>(std::int64_t c) {
    const Strip<T, width> values(x + c);
    Strip<T, width> gradients(dy + c), before;
    const Strip<R, width> scale = strip_of<width>(op.gamma, c);
    if (op.dresidual) before = Strip<T, width>(op.dresidual[row] + c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) {
      const R normed = (values[i] - mean) * inverse, slope = gradients[i] * scale[i] - mean_slope;
      const R through = inverse * multiply_add(-normed, mean_product, slope);
      gradients[i] = op.dresidual ? through + before[i] : through;
    }
    gradients.store(op.dx[row] + c);
  });
}

// Of gamma, and of beta where there is one: sums of dy * normed, and of dy.
template <class Type, int sums_>
struct NormSums {
  using T = Type;
  static constexpr int kSums = sums_;
  NormBackward<T> op;

  template <int width>
  __device__ void add(std::int64_t row, std::int64_t c, Strip<Real<T>, width>* sums) const {
    const Real<T> mean = op.stats[2 * row], inverse = op.stats[2 * row + 1];
    const Strip<T, width> values(op.x[row] + c), gradients(op.dy[row] + c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) {
      sums[0][i] += gradients[i] * ((values[i] - mean) * inverse);
      if constexpr (kSums > 1) sums[1][i] += gradients[i];
    }
  }
};

}  // namespace

void CudaBackend::do_residual_norm(const ResidualNorm& op) {
  dispatch_type(op.x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const NormForward<T> forward{Residual<T>(op.x, op.delta, op.bias, op.dropout),
                                 !op.delta.empty(),
                                 op.kind == NormKind::layer,
                                 static_cast<R>(op.epsilon),
                                 Vector<R>(op.gamma),
                                 Vector<R>(op.beta),
                                 Matrix<T>(op.sum),
                                 Matrix<T>(op.y),
                                 op.stats.as<R>(),
                                 op.x.shape[1]};
    const bool wide =
        op.x.shape[1] % kPack<T> == 0 && rows_are_wide({op.x, op.delta, op.bias, op.gamma, op.beta, op.sum, op.y});
    launch(stream(), {dim3(pieces(op.x.shape[0], 1))},
           wide ? residual_norm_kernel<T, true> : residual_norm_kernel<T, false>, forward);
  });
}

void CudaBackend::do_norm_gradient(const NormGradient& op) {
  dispatch_type(op.x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const std::int64_t rows = op.x.shape[0], columns = op.x.shape[1];
    const NormBackward<T> backward{Matrix<T>(op.x),     Matrix<T>(op.dy), Matrix<T>(op.dresidual),    Matrix<T>(op.dx),
                                   Vector<R>(op.gamma), op.stats.as<R>(), op.kind == NormKind::layer, columns};
    // First the sums, since dx may take the place of dy.
    if (op.dbeta)
      add_column_sums(*this, stream(), rows, columns, {op.x, op.dy}, NormSums<T, 2>{backward},
                      {op.dgamma.as<R>(), op.dbeta.as<R>()});
    else
      add_column_sums(*this, stream(), rows, columns, {op.x, op.dy}, NormSums<T, 1>{backward}, {op.dgamma.as<R>()});
    const bool wide = columns % kPack<T> == 0 && rows_are_wide({op.x, op.gamma, op.dy, op.dresidual, op.dx});
    launch(stream(), {dim3(pieces(rows, 1))}, wide ? norm_gradient_kernel<T, true> : norm_gradient_kernel<T, false>,
           backward);
  });
}

}  // namespace coxswain
