// LayerNorm and RMSNorm, fused with the residual stream; see kernels/cpu/norm.cpp for the formulas.
//
// A warp or a block has one row (rows.cuh), and a thread reads back only what it has written itself. Floor: x, delta,
// sum and y through memory once; of the gradient x, dy, dresidual and dx (the sums of gamma and beta read x and dy once
// more, from the second-level cache where they fit).
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/residual.cuh"
#include "kernels/cuda/rows.cuh"

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
  std::int64_t rows;
  int columns;
};

template <class T, int threads, int strips, bool wide>
__global__ void __launch_bounds__(block_of_rows(threads), resident_blocks(threads))
    residual_norm_kernel(NormForward<T> op) {
  using R = Real<T>;
  using Part = RowPart<T, threads, strips, wide>;
  const std::int64_t row = Part::row();
  const int n = op.columns;
  if (row >= op.rows) return;  // with its whole warp
  Part part(op.residual.x[row], n);
  if (op.adds) {
    const Part delta(op.residual.delta[row], n);
    T* sum = op.sum[row];
    part.each([&]<int width>(int c, int place) {
      part.put(sum, c, place,
               op.residual.joined(row, c, part.template at<width>(c, place), delta.template at<width>(c, place)));
    });
    part.write(sum);  // as stored: the gradient and a recomputation see the same rounded values
  }
  R total[] = {0}, squares[] = {0};
  if (op.centres) {
    part.each([&]<int width>(int c, int place) {
      const Strip<T, width> values = part.template at<width>(c, place);
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) total[0] += values[i];
    });
    add_up<threads, 0>(total);
    part.renew();
  }
  const R mean = total[0] / static_cast<R>(n);
  part.each([&]<int width>(int c, int place) {
    const Strip<T, width> values = part.template at<width>(c, place);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) squares[0] += (values[i] - mean) * (values[i] - mean);
  });
  add_up<threads, 1>(squares);
  const R inverse = R(1) / std::sqrt(squares[0] / static_cast<R>(n) + op.epsilon);
  T* y = op.y[row];
  part.renew();
  part.each([&]<int width>(int c, int place) {
    Strip<T, width> values = part.template at<width>(c, place);
    Strip<R, width> shift;
    const Strip<R, width> scale = strip_of<width>(op.gamma, c);
    if (op.beta) shift = strip_of<width>(op.beta, c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) {
      const R normed = (values[i] - mean) * inverse;
      values[i] = op.beta ? multiply_add(normed, scale[i], shift[i]) : normed * scale[i];
    }
    part.put(y, c, place, values);
  });
  part.write(y);
  if (Part::is_first()) op.stats[2 * row] = mean, op.stats[2 * row + 1] = inverse;
}

template <class T>
struct NormBackward {
  using R = Real<T>;
  Matrix<T> x, dy, dresidual, dx;
  Vector<R> gamma;
  const R* stats;
  bool centres;
  std::int64_t rows;
  int columns;
};

template <class T, int threads, int strips, bool wide>
__global__ void __launch_bounds__(block_of_rows(threads), resident_blocks(threads))
    norm_gradient_kernel(NormBackward<T> op) {
  using R = Real<T>;
  using Part = RowPart<T, threads, strips, wide>;
  const std::int64_t row = Part::row();
  const int n = op.columns;
  if (row >= op.rows) return;  // with its whole warp
  Part x(op.x[row], n);
  Part gradient(op.dy[row], n);
  const Part beside(op.dresidual ? op.dresidual[row] : nullptr, n);
  const R count = static_cast<R>(n), mean = op.stats[2 * row], inverse = op.stats[2 * row + 1];
  R sums[] = {0, 0};  // of the slopes, of their products with what was normed
  x.each([&]<int width>(int c, int place) {
    const Strip<T, width> values = x.template at<width>(c, place), gradients = gradient.template at<width>(c, place);
    const Strip<R, width> scale = strip_of<width>(op.gamma, c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) {
      const R slope = gradients[i] * scale[i];
      sums[0] += slope;
      sums[1] += slope * ((values[i] - mean) * inverse);
    }
  });
  add_up<threads, 0>(sums);
  const R mean_slope = op.centres ? sums[0] / count : R(0), mean_product = sums[1] / count;
  T* dx = op.dx[row];
  x.renew();
  gradient.renew();
  x.each([&]<int width>(int c, int place) {
    const Strip<T, width> values = x.template at<width>(c, place);
    Strip<T, width> gradients = gradient.template at<width>(c, place), before;
    const Strip<R, width> scale = strip_of<width>(op.gamma, c);
    if (op.dresidual) before = beside.template at<width>(c, place);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) {
      const R normed = (values[i] - mean) * inverse, slope = gradients[i] * scale[i] - mean_slope;
      const R through = inverse * multiply_add(-normed, mean_product, slope);
      gradients[i] = op.dresidual ? through + before[i] : through;
    }
    gradient.put(dx, c, place, gradients);
  });
  gradient.write(dx);
}

// Of gamma, and of beta where there is one: sums of dy * normed, and of dy.
template <class Type, int sums_>
struct NormSums {
  using T = Type;
  static constexpr int kSums = sums_;
  NormBackward<T> op;

  template <int width>
  struct Loaded {
    Strip<T, width> x, dy;
    Real<T> mean, inverse;
  };
  template <int width>
  __device__ Loaded<width> load(std::int64_t row, std::int64_t c) const {
    return {Strip<T, width>(op.x[row] + c), Strip<T, width>(op.dy[row] + c), op.stats[2 * row], op.stats[2 * row + 1]};
  }
  template <int width>
  __device__ void add(const Loaded<width>& of, Strip<Real<T>, width>* sums) const {
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) {
      sums[0][i] += of.dy[i] * ((of.x[i] - of.mean) * of.inverse);
      if constexpr (kSums > 1) sums[1][i] += of.dy[i];
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
                                 op.x.shape[0],
                                 static_cast<int>(op.x.shape[1])};
    const bool wide =
        forward.columns % kPack<T> == 0 && rows_are_wide({op.x, op.delta, op.bias, op.gamma, op.beta, op.sum, op.y});
    dispatch_row<T>(forward.columns, wide, [&]<int threads, int strips, bool is_wide>() {
      launch(stream(), rows_shape<threads>(forward.rows), residual_norm_kernel<T, threads, strips, is_wide>, forward);
    });
  });
}

void CudaBackend::do_norm_gradient(const NormGradient& op) {
  dispatch_type(op.x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const std::int64_t rows = op.x.shape[0], columns = op.x.shape[1];
    const NormBackward<T> backward{
        Matrix<T>(op.x),          Matrix<T>(op.dy), Matrix<T>(op.dresidual),    Matrix<T>(op.dx),
        Vector<R>(op.gamma),      op.stats.as<R>(), op.kind == NormKind::layer, rows,
        static_cast<int>(columns)};
    // First the sums, since dx may take the place of dy.
    if (op.dbeta)
      add_column_sums(*this, stream(), rows, columns, {op.x, op.dy}, NormSums<T, 2>{backward},
                      {op.dgamma.as<R>(), op.dbeta.as<R>()});
    else
      add_column_sums(*this, stream(), rows, columns, {op.x, op.dy}, NormSums<T, 1>{backward}, {op.dgamma.as<R>()});
    const bool wide = columns % kPack<T> == 0 && rows_are_wide({op.x, op.gamma, op.dy, op.dresidual, op.dx});
    dispatch_row<T>(columns, wide, [&]<int threads, int strips, bool is_wide>() {
      launch(stream(), rows_shape<threads>(rows), norm_gradient_kernel<T, threads, strips, is_wide>, backward);
    });
  });
}

}  // namespace coxswain
