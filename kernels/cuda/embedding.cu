// Rows of the embedding table, and their gradient. Only rows [first_row, first_row + rows) of the vocabulary are held.
//
// Floor: y or dy through memory once, with the rows of the table that occur.
#include "kernels/cuda/strips.cuh"

namespace coxswain {
namespace {

template <class From, class To>
struct EmbeddingElement {
  const std::int32_t* tokens;
  Matrix<From> table;
  std::int64_t first_row, held;
  Matrix<To> y;

  template <int width>
  __device__ void strip(std::int64_t r, std::int64_t c) const {
    const std::int64_t row = tokens[r] - first_row;
    Strip<To, width> values;
    if (row >= 0 && row < held) {
      const Strip<From, width> stored(table[row] + c);
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) values[i] = static_cast<Real<To>>(stored[i]);
    } else {
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) values[i] = Real<To>(0);
    }
    values.store(y[r] + c);
  }
};

// Places of equal tokens, each knowing the next one. A warp has a place and looks at 32 others at a time, which the
// caches share.
struct TokenLinks {
  const std::int32_t* tokens;
  std::int64_t count, first_row, held;
  std::int32_t* next;    // -1 behind the last place of a token
  std::int32_t* begins;  // 1 at the first place of a token that is held
};

__global__ void __launch_bounds__(kThreads) link_tokens_kernel(TokenLinks op) {
  const std::int64_t place = std::int64_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (place >= op.count) return;
  const int lane = threadIdx.x % kWarp;
  const std::int32_t token = op.tokens[place];
  unsigned found = token - op.first_row < 0 || token - op.first_row >= op.held;  // then it begins nowhere
  for (std::int64_t last = place; last > 0 && found == 0; last -= kWarp) {
    const std::int64_t other = last - 1 - lane;
    found = __ballot_sync(kAllLanes, other >= 0 && op.tokens[other] == token);
  }
  if (lane == 0) op.begins[place] = found == 0;
  std::int64_t first = place + 1;
  for (found = 0; first < op.count; first += kWarp) {
    found = __ballot_sync(kAllLanes, first + lane < op.count && op.tokens[first + lane] == token);
    if (found != 0) break;
  }
  if (lane == 0)
    op.next[place] = found == 0 ? -1 : static_cast<std::int32_t>(first + __ffs(static_cast<int>(found)) - 1);
}

// From a token's first place on, its rows of dy are added in their order. No atomics, and one order whatever the
// launch.
template <class T>
struct EmbeddingGradient {
  const std::int32_t *tokens, *next, *begins;
  Matrix<T> dy;
  std::int64_t first_row;
  Matrix<Real<T>> dtable;

  template <int width>
  __device__ void strip(std::int64_t place, std::int64_t c) const {
    if (begins[place] == 0) return;
    Real<T>* row = dtable[tokens[place] - first_row] + c;
    Strip<Real<T>, width> sums(row);
    for (std::int64_t r = place; r >= 0; r = next[r]) {
      const Strip<T, width> gradients(dy[r] + c);
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) sums[i] += gradients[i];
    }
    sums.store(row);
  }
};

}  // namespace

void CudaBackend::do_embedding(TensorView tokens, TensorView table, std::int64_t first_row, TensorView y) {
  dispatch_type(table.dtype, [&](auto table_type) {
    dispatch_type(y.dtype, [&](auto y_type) {
      using From = typename decltype(table_type)::type;
      using To = typename decltype(y_type)::type;
      using Narrowest = std::conditional_t<(sizeof(From) < sizeof(To)), From, To>;
      strips<Narrowest>(stream(), y.shape[0], y.shape[1], {table, y},
                        EmbeddingElement<From, To>{tokens.as<std::int32_t>(), Matrix<From>(table), first_row,
                                                   table.shape[0], Matrix<To>(y)});
    });
  });
}

void CudaBackend::do_embedding_gradient(TensorView tokens, TensorView dy, std::int64_t first_row, TensorView dtable) {
  const std::int64_t count = dy.shape[0];
  const Scratch<std::int32_t> next(*this, count), begins(*this, count);
  const TokenLinks links{tokens.as<std::int32_t>(), count, first_row, dtable.shape[0], next.data(), begins.data()};
  launch(stream(), {dim3(pieces(count, kThreads / kWarp))}, link_tokens_kernel, links);
  dispatch_type(dy.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    strips<T>(stream(), count, dy.shape[1], {dy, dtable},
              EmbeddingGradient<T>{links.tokens, next.data(), begins.data(), Matrix<T>(dy), first_row,
                                   Matrix<Real<T>>(dtable)});
  });
}

}  // namespace coxswain
