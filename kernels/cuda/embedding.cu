// Rows of the embedding table, and their gradient. Only rows [first_row, first_row + rows) of the vocabulary are held.
#include "kernels/cuda/common.cuh"

namespace coxswain {
namespace {

template <class From, class To>
struct EmbeddingElement {
  const std::int32_t* tokens;
  Matrix<From> table;
  std::int64_t first_row, held;
  Matrix<To> y;

  __device__ void operator()(std::int64_t r, std::int64_t c) const {
    const std::int64_t row = tokens[r] - first_row;
    put(y[r][c], row >= 0 && row < held ? static_cast<Real<To>>(load(table[row][c])) : Real<To>(0));
  }
};

// A warp owns a row of the table: it looks at all tokens, 32 at a time, and adds the rows of dy that are its own in
// their order. No atomics, and one order whatever the launch. Reads of tokens are shared by the caches.
template <class T>
struct EmbeddingGradient {
  const std::int32_t* tokens;
  Matrix<T> dy;
  std::int64_t count, columns, first_row, held;
  Matrix<Real<T>> dtable;
};

template <class T>
__global__ void __launch_bounds__(kThreads) embedding_gradient_kernel(EmbeddingGradient<T> op) {
  const std::int64_t row = std::int64_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (row >= op.held) return;
  const int lane = threadIdx.x % kWarp;
  for (std::int64_t first = 0; first < op.count; first += kWarp) {
    const bool mine = first + lane < op.count && op.tokens[first + lane] - op.first_row == row;
    unsigned found = __ballot_sync(kAllLanes, mine);
    for (; found != 0; found &= found - 1) {
      const T* gradient = op.dy[first + __ffs(static_cast<int>(found)) - 1];
      Real<T>* sums = op.dtable[row];
      for (std::int64_t c = lane; c < op.columns; c += kWarp) sums[c] += load(gradient[c]);
    }
  }
}

}  // namespace

void CudaBackend::do_embedding(TensorView tokens, TensorView table, std::int64_t first_row, TensorView y) {
  dispatch_type(table.dtype, [&](auto table_type) {
    dispatch_type(y.dtype, [&](auto y_type) {
      using From = typename decltype(table_type)::type;
      using To = typename decltype(y_type)::type;
      elementwise(stream(), y.shape[0], y.shape[1],
                  EmbeddingElement<From, To>{tokens.as<std::int32_t>(), Matrix<From>(table), first_row, table.shape[0],
                                             Matrix<To>(y)});
    });
  });
}

void CudaBackend::do_embedding_gradient(TensorView tokens, TensorView dy, std::int64_t first_row, TensorView dtable) {
  dispatch_type(dy.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const EmbeddingGradient<T> op{
        tokens.as<std::int32_t>(), Matrix<T>(dy),          dy.shape[0], dy.shape[1], first_row,
        dtable.shape[0],           Matrix<Real<T>>(dtable)};
    launch(stream(), {dim3(pieces(op.held, kThreads / kWarp))}, embedding_gradient_kernel<T>, op);
  });
}

}  // namespace coxswain
