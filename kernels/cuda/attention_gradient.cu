// Attention backward of FP32 and f64 in tiles (bf16: flash_attention_gradient.cu), see
// kernels/cpu/attention_gradient.cpp for the formulas: the weights are computed again from log_sum_exp. One kernel
// makes dK and dV, block by block of keys, another dQ, block by block of queries: seven products where five would do,
// and no atomics.
//
// Orders of summation: dK and dV of a key over the group's query heads, then over query tiles; dQ over key tiles.
// Floor: 14 d FLOP for each pair of query and key that see each other, outside of tensor cores.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/flash_attention.h"

namespace coxswain {
namespace {

using namespace attention_tiles;

// Tiles in shared memory: q, k, v and dout [32, d], weights and slopes of scores [32, 32] by query and key.
template <class R>
struct Tiles {
  R *q, *k, *v, *dout, *weights, *slopes;
  __device__ explicit Tiles(std::int64_t d) {
    const std::int64_t tile = kTile * row_stride(d);
    q = dynamic_shared<R>();
    k = q + tile, v = k + tile, dout = v + tile;
    weights = dout + tile, slopes = weights + kTile * kScoreStride;
  }
};
template <class R>
std::size_t tiles_bytes(std::int64_t d) {
  return static_cast<std::size_t>(4 * kTile * row_stride(d) + 2 * kTile * kScoreStride) * sizeof(R);
}

template <class T>
__global__ void __launch_bounds__(kThreads) attention_delta_kernel(Gradient<T> op) {
  using R = Real<T>;
  const Extents& extents = op.extents;
  const std::int64_t item = std::int64_t{blockIdx.x} * (kThreads / kWarp) + threadIdx.x / kWarp;
  if (item >= extents.b * extents.a * extents.t) return;
  const std::int64_t token = item % extents.t, head = item / extents.t % extents.a;
  const std::int64_t sequence = item / extents.t / extents.a;
  const T *out = op.out.at(sequence, token, head), *dout = op.dout.at(sequence, token, head);
  R sum = 0;
  for (std::int64_t c = threadIdx.x % kWarp; c < extents.d; c += kWarp)
    sum = multiply_add(R(load(out[c])), R(load(dout[c])), sum);
  sum = join_warp(sum, Add());
  if (threadIdx.x % kWarp == 0) op.delta[item] = sum;
}

// Weights and slopes of the tile of queries from `query` and keys from `key`, both loaded.
template <class T>
__device__ void score_slopes(const Gradient<T>& op, const Tiles<Real<T>>& tiles, std::int64_t sequence,
                             std::int64_t head, std::int64_t query, std::int64_t key) {
  using R = Real<T>;
  R scores[kRows][kColumns], slopes[kRows][kColumns];
  score_tile(tiles.q, tiles.k, op.extents.d, scores);
  score_tile(tiles.dout, tiles.v, op.extents.d, slopes);
  for (int i = 0; i < kRows; ++i) {
    const std::int64_t row = first_row() + i;
    for (int j = 0; j < kColumns; ++j) {
      const std::int64_t column = first_column() + kAcross * j;
      R weight = 0, slope = 0;
      if (op.visible.sees(sequence, query + row, key + column)) {
        const std::int64_t at = op.row(sequence, head, query + row);
        weight = exp_fast(multiply_add(scores[i][j], op.scale, -op.log_sum_exp[at]));
        slope = weight * (slopes[i][j] - op.delta[at]) * op.scale;
      }
      tiles.weights[row * kScoreStride + column] = weight;
      tiles.slopes[row * kScoreStride + column] = slope;
    }
  }
}

template <class T, int width>
__global__ void __launch_bounds__(kTileThreads) attention_key_gradient_kernel(Gradient<T> op) {
  using R = Real<T>;
  const Extents& extents = op.extents;
  const Tiles<R> tiles(extents.d);
  const std::int64_t key = std::int64_t{blockIdx.x} * kTile, group = blockIdx.y, sequence = blockIdx.z;
  const std::int64_t last_key = (key + kTile < extents.t ? key + kTile : extents.t) - 1;
  const std::int64_t heads = extents.a / extents.g;
  R dk[kRows][width] = {}, dv[kRows][width] = {};
  load_tile(op.k, sequence, group, key, extents, tiles.k);
  load_tile(op.v, sequence, group, key, extents, tiles.v);
  for (std::int64_t head = group * heads; head < (group + 1) * heads; ++head)
    for (std::int64_t query = key; query < extents.t && query - op.visible.band < last_key; query += kTile) {
      const std::int64_t end = query + kTile < extents.t ? query + kTile : extents.t;
      if (op.visible.first_key(sequence, query, end) > last_key) continue;
      __syncthreads();  // the last tile may still be read
      load_tile(op.q, sequence, head, query, extents, tiles.q);
      load_tile(op.dout, sequence, head, query, extents, tiles.dout);
      __syncthreads();
      score_slopes(op, tiles, sequence, head, query, key);
      __syncthreads();
      add_product([&tiles](int row, int l) { return tiles.weights[l * kScoreStride + row]; }, tiles.dout, extents.d,
                  dv);
      add_product([&tiles](int row, int l) { return tiles.slopes[l * kScoreStride + row]; }, tiles.q, extents.d, dk);
    }
  const auto one = [](int) { return R(1); };
  store_tile(dk, op.dk, sequence, group, key, extents, one);
  store_tile(dv, op.dv, sequence, group, key, extents, one);
}

template <class T, int width>
__global__ void __launch_bounds__(kTileThreads) attention_query_gradient_kernel(Gradient<T> op) {
  using R = Real<T>;
  const Extents& extents = op.extents;
  const Tiles<R> tiles(extents.d);
  const std::int64_t query = std::int64_t{extents.tiles() - 1 - blockIdx.x} * kTile;  // the longest first
  const std::int64_t head = blockIdx.y, sequence = blockIdx.z, group = extents.kv_head(head);
  const std::int64_t end = query + kTile < extents.t ? query + kTile : extents.t;
  R dq[kRows][width] = {};
  load_tile(op.q, sequence, head, query, extents, tiles.q);
  load_tile(op.dout, sequence, head, query, extents, tiles.dout);
  for (std::int64_t key = op.visible.first_key(sequence, query, end) / kTile * kTile; key < end; key += kTile) {
    __syncthreads();  // the last tile may still be read
    load_tile(op.k, sequence, group, key, extents, tiles.k);
    load_tile(op.v, sequence, group, key, extents, tiles.v);
    __syncthreads();
    score_slopes(op, tiles, sequence, head, query, key);
    __syncthreads();
    add_product([&tiles](int row, int l) { return tiles.slopes[row * kScoreStride + l]; }, tiles.k, extents.d, dq);
  }
  store_tile(dq, op.dq, sequence, head, query, extents, [](int) { return R(1); });
}

template <class T>
void attention_gradient(cudaStream_t stream, const Gradient<T>& op) {
  const Extents& extents = op.extents;
  launch(stream, {dim3(pieces(extents.b * extents.a * extents.t, kThreads / kWarp))}, attention_delta_kernel<T>, op);
  const unsigned b = pieces(extents.b, 1), a = pieces(extents.a, 1), g = pieces(extents.g, 1);
  const std::size_t bytes = tiles_bytes<Real<T>>(extents.d);
  dispatch_width("attention_gradient", extents.d, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    launch(stream, {dim3(extents.tiles(), g, b), dim3(kTileThreads), bytes}, attention_key_gradient_kernel<T, kWidth>,
           op);
    launch(stream, {dim3(extents.tiles(), a, b), dim3(kTileThreads), bytes}, attention_query_gradient_kernel<T, kWidth>,
           op);
  });
}

}  // namespace

void CudaBackend::do_attention_gradient(const AttentionGradient& op) {
  if (op.q.elements() == 0) return;
  dispatch_type(op.q.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Scratch<Real<T>> delta(*this, op.log_sum_exp.elements());
    if constexpr (std::is_same_v<T, bf16>) {
      flash_attention_gradient(stream(), op, delta.data());
    } else {
      coxswain::attention_gradient<T>(stream(), Gradient<T>(op, delta.data()));
    }
  });
}

}  // namespace coxswain
