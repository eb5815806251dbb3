// Products of a linear layer whose rows do not depend on each other: y = activation(x w^T + bias), for one row or many.
//
// A warp has one row of w and four rows of x: lane i adds the products of elements i, i + 32, ... and a tree joins the
// lanes. So an element's bits depend on the row of x, the row of w and k. Floor: w through memory once.
#include "kernels/cuda/common.cuh"

namespace coxswain {
namespace {

constexpr int kRows = 4;

template <class T, class Y>
struct RowLinear {
  Matrix<T> x, w;
  Vector<Real<T>> bias;
  Matrix<Y> y;
  std::int64_t m, n, k;
};

template <class T, class Y, Activation kind>
__global__ void __launch_bounds__(kThreads) row_linear_kernel(RowLinear<T, Y> op) {
  using R = Real<T>;
  const std::int64_t column = std::int64_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  const std::int64_t first = std::int64_t{blockIdx.y} * kRows;
  if (column >= op.n) return;
  const int lane = threadIdx.x % kWarp;
  R sums[kRows] = {};
  const T* weights = op.w[column];
  for (std::int64_t l = lane; l < op.k; l += kWarp) {
    const R weight = load(weights[l]);
    for (int i = 0; i < kRows; ++i)
      if (first + i < op.m) sums[i] = multiply_add(R(load(op.x[first + i][l])), weight, sums[i]);
  }
  for (int i = 0; i < kRows; ++i) {
    R sum = join_warp(sums[i], Add());
    if (lane > 0 || first + i >= op.m) continue;
    if (op.bias) sum += op.bias[column];
    put(op.y[first + i][column], static_cast<Real<Y>>(apply<kind>(sum)));
  }
}

template <class T, class Y>
void row_linear(cudaStream_t stream, Activation activation, const RowLinear<T, Y>& op) {
  const dim3 blocks(pieces(op.n, kThreads / kWarp), pieces(op.m, kRows));
  dispatch(activation,
           [&](auto kind) { launch(stream, {blocks}, row_linear_kernel<T, Y, decltype(kind)::value>, op); });
}

}  // namespace

void CudaBackend::do_linear_rows(TensorView x, TensorView w, TensorView bias, Activation activation, TensorView y) {
  dispatch_type(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const auto run = [&](auto result) {
      using Y = typename decltype(result)::type;
      row_linear(stream(), activation,
                 RowLinear<T, Y>{Matrix<T>(x), Matrix<T>(w), Vector<R>(bias), Matrix<Y>(y), x.shape[0], w.shape[0],
                                 x.shape[1]});
    };
    y.dtype == x.dtype ? run(TypeTag<T>{}) : run(TypeTag<R>{});
  });
}

}  // namespace coxswain
