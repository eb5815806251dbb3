// Attention forward of FP32 and f64 in tiles with a running softmax, see kernels/cpu/attention.cpp for the formulas;
// bf16 goes to flash_attention.cu.
//
// A block has 32 queries of one head and goes over the tiles of 32 keys that they see in order. Products are plain
// fused multiply-adds in FP32 (f64 for f64). Floor: 4 d FLOP for each pair of query and key.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/flash_attention.h"

namespace coxswain {
namespace {

using namespace attention_tiles;

template <class T>
struct Forward {
  Heads<T> q, k, v, out;
  Extents extents;
  Visible visible;
  Real<T> scale;
  Real<T>* log_sum_exp;

  std::size_t shared_bytes() const {
    return static_cast<std::size_t>(3 * kTile * row_stride(extents.d) + kTile * kScoreStride) * sizeof(Real<T>);
  }
};

// Joins the eight threads that share a row.
template <class R, class Join>
__device__ R join_row(R value, const Join& join) {
  for (int distance = kAcross / 2; distance > 0; distance /= 2)
    value = join(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

// Running maximum and sum of a thread's rows.
template <class R>
struct Softmax {
  R maximum[kRows], sum[kRows];
  static constexpr R kNone = -std::numeric_limits<R>::infinity();

  __device__ Softmax() {
    for (int i = 0; i < kRows; ++i) maximum[i] = kNone, sum[i] = 0;
  }
  // scores, minus infinity where the query does not see the key -> weights; what was gathered so far is to be rescaled.
  __device__ R add(int i, R (&scores)[kColumns]) {
    R highest = maximum[i];
    for (const R score : scores) highest = Greater()(highest, score);
    highest = join_row(highest, Greater());
    const R rescale = highest == kNone ? R(1) : exp_fast(maximum[i] - highest);
    R added = 0;
    for (R& score : scores) added += score = score == kNone ? R(0) : exp_fast(score - highest);
    sum[i] = multiply_add(sum[i], rescale, join_row(added, Add()));
    maximum[i] = highest;
    return rescale;
  }
};

template <class T, int width>
__global__ void __launch_bounds__(kTileThreads) attention_kernel(Forward<T> op) {
  using R = Real<T>;
  const Extents& extents = op.extents;
  const std::int64_t head = blockIdx.y, sequence = blockIdx.z, group = extents.kv_head(head);
  const std::int64_t first = std::int64_t{extents.tiles() - 1 - blockIdx.x} * kTile;  // the longest first
  const std::int64_t last = first + kTile < extents.t ? first + kTile : extents.t;
  R* q = dynamic_shared<R>();
  R* k = q + kTile * row_stride(extents.d);
  R* v = k + kTile * row_stride(extents.d);
  R* weights = v + kTile * row_stride(extents.d);
  R results[kRows][width] = {};
  Softmax<R> softmax;
  load_tile(op.q, sequence, head, first, extents, q);
  for (std::int64_t key = op.visible.first_key(sequence, first, last) / kTile * kTile; key < last; key += kTile) {
    __syncthreads();  // the last tile's values may still be read
    load_tile(op.k, sequence, group, key, extents, k);
    load_tile(op.v, sequence, group, key, extents, v);
    __syncthreads();
    R scores[kRows][kColumns];
    score_tile(q, k, extents.d, scores);
    for (int i = 0; i < kRows; ++i) {
      const std::int64_t query = first + first_row() + i;
      for (int j = 0; j < kColumns; ++j) {
        const bool sees = op.visible.sees(sequence, query, key + first_column() + kAcross * j);
        scores[i][j] = sees ? scores[i][j] * op.scale : Softmax<R>::kNone;
      }
      const R rescale = softmax.add(i, scores[i]);
      for (R& result : results[i]) result *= rescale;
      for (int j = 0; j < kColumns; ++j)
        weights[(first_row() + i) * kScoreStride + first_column() + kAcross * j] = scores[i][j];
    }
    __syncthreads();
    add_product([weights](int row, int l) { return weights[row * kScoreStride + l]; }, v, extents.d, results);
  }
  store_tile(results, op.out, sequence, head, first, extents, [&](int i) { return R(1) / softmax.sum[i]; });
  for (int i = 0; i < kRows; ++i) {
    const std::int64_t query = first + first_row() + i;
    if (first_column() == 0 && query < extents.t)
      op.log_sum_exp[(sequence * extents.a + head) * extents.t + query] = softmax.maximum[i] + std::log(softmax.sum[i]);
  }
}

}  // namespace

void CudaBackend::do_attention(TensorView q, TensorView k, TensorView v, const AttentionMask& mask, float scale,
                               TensorView out, TensorView log_sum_exp) {
  if (q.elements() == 0) return;
  dispatch_type(q.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, bf16>) {
      flash_attention(stream(), q, k, v, mask, scale, out, log_sum_exp);
    } else {
      const Extents extents(q, k);
      const Forward<T> op{
          Heads<T>(q), Heads<T>(k),        Heads<T>(v), Heads<T>(out), extents, Visible(mask, extents.t),
          T(scale),    log_sum_exp.as<T>()};
      dispatch_width("attention", extents.d, [&](auto width) {
        launch(
            stream(),
            {dim3(extents.tiles(), pieces(extents.a, 1), pieces(extents.b, 1)), dim3(kTileThreads), op.shared_bytes()},
            attention_kernel<T, decltype(width)::value>, op);
      });
    }
  });
}

}  // namespace coxswain
