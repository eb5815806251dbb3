// One number a row: out = y w + bias, the head of reward and value models; and its gradients dy = dout w,
// dw += sum of dout y, dbias += sum of dout. Floor: y through memory once, dy once.
#include "kernels/cuda/column_sums.cuh"

namespace coxswain {
namespace {

template <class T, bool wide>
__global__ void __launch_bounds__(kThreads)
    scalar_projection_kernel(Matrix<T> y, Vector<Real<T>> w, Vector<Real<T>> bias, std::int64_t columns, Real<T>* out) {
  using R = Real<T>;
  const T* x = y[blockIdx.x];
  R sum = 0;
  each_strip<T, wide, true>(columns, [&]<int width>(std::int64_t c) {
    const Strip<T, width> values(x + c);
    const Strip<R, width> scale = strip_of<width>(w, c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) sum += values[i] * scale[i];
  });
  sum = join_block(sum, Add());
  if (threadIdx.x == 0) out[blockIdx.x] = bias ? bias[0] + sum : sum;
}

template <class T>
struct ProjectionInputGradient {
  using R = Real<T>;
  const R* dout;
  Vector<R> w;
  Matrix<T> dy;

  template <int width>
  __device__ void strip(std::int64_t r, std::int64_t c) const {
    const Strip<R, width> scale = strip_of<width>(w, c);
    Strip<T, width> gradients;
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) gradients[i] = dout[r] * scale[i];
    gradients.store(dy[r] + c);
  }
};
template <class Type>
struct ProjectionWeightGradient {
  using T = Type;
  static constexpr int kSums = 1;
  const Real<T>* dout;
  Matrix<T> y;

  template <int width>
  struct Loaded {
    Strip<T, width> y;
    Real<T> dout;
  };
  template <int width>
  __device__ Loaded<width> load(std::int64_t r, std::int64_t c) const {
    return {Strip<T, width>(y[r] + c), dout[r]};
  }
  template <int width>
  __device__ void add(const Loaded<width>& of, Strip<Real<T>, width>* sums) const {
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) sums[0][i] += of.dout * of.y[i];
  }
};
template <class R>
struct ProjectionBiasGradient {
  using T = R;
  static constexpr int kSums = 1;
  const R* dout;

  template <int width>
  __device__ R load(std::int64_t r, std::int64_t) const {
    return dout[r];
  }
  template <int width>
  __device__ void add(R value, Strip<R, width>* sums) const {
    sums[0][0] += value;
  }
};

}  // namespace

void CudaBackend::do_scalar_projection(TensorView y, TensorView w, TensorView bias, TensorView out) {
  dispatch_type(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    launch(stream(), {dim3(pieces(y.shape[0], 1))},
           rows_are_wide({y, w}) ? scalar_projection_kernel<T, true> : scalar_projection_kernel<T, false>, Matrix<T>(y),
           Vector<R>(w), Vector<R>(bias), y.shape[1], out.as<R>());
  });
}

void CudaBackend::do_scalar_projection_gradient(const ScalarProjectionGradient& op) {
  dispatch_type(op.y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const std::int64_t rows = op.y.shape[0], columns = op.y.shape[1];
    const R* dout = op.dout.as<R>();
    strips<T>(stream(), rows, columns, {op.w, op.dy},
              ProjectionInputGradient<T>{dout, Vector<R>(op.w), Matrix<T>(op.dy)});
    add_column_sums(*this, stream(), rows, columns, {op.y}, ProjectionWeightGradient<T>{dout, Matrix<T>(op.y)},
                    {op.dw.as<R>()});
    if (op.dbias) add_column_sums(*this, stream(), rows, 1, {}, ProjectionBiasGradient<R>{dout}, {op.dbias.as<R>()});
  });
}

}  // namespace coxswain
