// One number a row: out = y w + bias, the head of reward and value models; and its gradients dy = dout w,
// dw += sum of dout y, dbias += sum of dout.
#include "kernels/cuda/common.cuh"

namespace coxswain {
namespace {

template <class T>
__global__ void __launch_bounds__(kThreads)
    scalar_projection_kernel(Matrix<T> y, Vector<Real<T>> w, Vector<Real<T>> bias, std::int64_t columns, Real<T>* out) {
  using R = Real<T>;
  const T* x = y[blockIdx.x];
  const R sum = block_sum<R>(columns, [x, w](std::int64_t c) { return load(x[c]) * w[c]; });
  if (threadIdx.x == 0) out[blockIdx.x] = bias ? bias[0] + sum : sum;
}

template <class T>
struct ProjectionInputGradient {
  const Real<T>* dout;
  Vector<Real<T>> w;
  Matrix<T> dy;

  __device__ void operator()(std::int64_t r, std::int64_t c) const { put(dy[r][c], dout[r] * w[c]); }
};
template <class T>
struct ProjectionWeightGradient {
  const Real<T>* dout;
  Matrix<T> y;
  __device__ Real<T> operator()(std::int64_t r, std::int64_t c) const { return dout[r] * load(y[r][c]); }
};
template <class R>
struct ProjectionBiasGradient {
  const R* dout;
  __device__ R operator()(std::int64_t r, std::int64_t) const { return dout[r]; }
};

}  // namespace

void CudaBackend::do_scalar_projection(TensorView y, TensorView w, TensorView bias, TensorView out) {
  dispatch_type(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    launch(stream(), {dim3(pieces(y.shape[0], 1))}, scalar_projection_kernel<T>, Matrix<T>(y), Vector<R>(w),
           Vector<R>(bias), y.shape[1], out.as<R>());
  });
}

void CudaBackend::do_scalar_projection_gradient(const ScalarProjectionGradient& op) {
  dispatch_type(op.y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const std::int64_t rows = op.y.shape[0], columns = op.y.shape[1];
    const R* dout = op.dout.as<R>();
    elementwise(stream(), rows, columns, ProjectionInputGradient<T>{dout, Vector<R>(op.w), Matrix<T>(op.dy)});
    add_column_sums(*this, stream(), rows, columns, ProjectionWeightGradient<T>{dout, Matrix<T>(op.y)}, op.dw.as<R>());
    if (op.dbias) add_column_sums(*this, stream(), rows, 1, ProjectionBiasGradient<R>{dout}, op.dbias.as<R>());
  });
}

}  // namespace coxswain
