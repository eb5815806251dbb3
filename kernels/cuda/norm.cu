// LayerNorm and RMSNorm, fused with the residual stream; see kernels/cpu/norm.cpp for the formulas.
//
// A block has one row, thread i the columns i, i + 256, ...: it reads back only what it has written itself. Floor: x,
// delta, sum and y through memory once (the row's second and third reading come from the caches).
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

template <class T>
__global__ void __launch_bounds__(kThreads) residual_norm_kernel(NormForward<T> op) {
  using R = Real<T>;
  const std::int64_t row = blockIdx.x, n = op.columns;
  const T* x = op.residual.x[row];
  if (op.adds) {
    T* sum = op.sum[row];
    for (std::int64_t c = threadIdx.x; c < n; c += kThreads) put(sum[c], op.residual.at(row, c));
    x = sum;  // as stored: the gradient and a recomputation see the same rounded values
  }
  R mean = 0;
  if (op.centres) mean = block_sum<R>(n, [x](std::int64_t c) { return load(x[c]); }) / static_cast<R>(n);
  const R squares = block_sum<R>(n, [x, mean](std::int64_t c) {
    const R centred = load(x[c]) - mean;
    return centred * centred;
  });
  const R inverse = R(1) / std::sqrt(squares / static_cast<R>(n) + op.epsilon);
  T* y = op.y[row];
  for (std::int64_t c = threadIdx.x; c < n; c += kThreads) {
    const R normed = (load(x[c]) - mean) * inverse;
    put(y[c], op.beta ? multiply_add(normed, op.gamma[c], op.beta[c]) : normed * op.gamma[c]);
  }
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

  __device__ R normed(std::int64_t row, std::int64_t c) const {
    return (load(x[row][c]) - stats[2 * row]) * stats[2 * row + 1];
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) norm_gradient_kernel(NormBackward<T> op) {
  using R = Real<T>;
  const std::int64_t row = blockIdx.x, n = op.columns;
  const R count = static_cast<R>(n), inverse = op.stats[2 * row + 1];
  const auto slope = [&op, row](std::int64_t c) { return load(op.dy[row][c]) * op.gamma[c]; };
  R mean_slope = 0;
  if (op.centres) mean_slope = block_sum<R>(n, slope) / count;
  const R mean_product = block_sum<R>(n, [&](std::int64_t c) { return slope(c) * op.normed(row, c); }) / count;
  for (std::int64_t c = threadIdx.x; c < n; c += kThreads) {
    const R through = inverse * multiply_add(-op.normed(row, c), mean_product, slope(c) - mean_slope);
    put(op.dx[row][c], op.dresidual ? through + load(op.dresidual[row][c]) : through);
  }
}

template <class T>
struct ScaleGradient {
  NormBackward<T> op;
  __device__ Real<T> operator()(std::int64_t row, std::int64_t c) const {
    return load(op.dy[row][c]) * op.normed(row, c);
  }
};
template <class T>
struct ShiftGradient {
  Matrix<T> dy;
  __device__ Real<T> operator()(std::int64_t row, std::int64_t c) const { return load(dy[row][c]); }
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
    launch(stream(), {dim3(pieces(op.x.shape[0], 1))}, residual_norm_kernel<T>, forward);
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
    add_column_sums(*this, stream(), rows, columns, ScaleGradient<T>{backward}, op.dgamma.as<R>());
    if (op.dbeta) add_column_sums(*this, stream(), rows, columns, ShiftGradient<T>{Matrix<T>(op.dy)}, op.dbeta.as<R>());
    launch(stream(), {dim3(pieces(rows, 1))}, norm_gradient_kernel<T>, backward);
  });
}

}  // namespace coxswain
