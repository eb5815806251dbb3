// Attention forward in BF16 on tensor cores (Dao, "FlashAttention-2"); formulas in kernels/cpu/attention.cpp.
//
// A block has 128 queries of one head, a warp 16, and goes over the tiles of 64 keys (32 for heads above 128) that they
// see in order, with a running maximum and sum a row in powers of two. Weights are rounded to bf16 before they meet the
// values, their sum is not. A tile of keys and values arrives while the last one is multiplied.
//
// Floor: 4 d FLOP for each pair of query and key that see each other at the rate of the tensor cores. Shared memory
// gives 128 bytes a clock; read once for 16 rows that feeds 819 multiply-adds a clock in scores and 1,024 in what is
// added up, of which an A100 does 1,024 and an H100 2,048.
#include "kernels/cuda/flash_attention.h"

#include "kernels/cuda/flash.cuh"

namespace coxswain {
namespace {

using namespace flash;

struct Forward {
  Heads<bf16> q, k, v, out;
  Extents extents;
  Visible visible;
  float factor;        // of scores: scale / ln 2
  float* log_sum_exp;  // [b, a, t]
  bool wide;
};

constexpr int kOwnRows = 16, kQueries = 128, kFlashThreads = kQueries / kOwnRows * kWarp;
constexpr float kNone = -std::numeric_limits<float>::infinity();

struct Maximum {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Running maximum and sum of a lane's rows, in powers of two; the sum of the lane's own columns.
struct Softmax {
  float maximum[2] = {kNone, kNone}, sum[2] = {};

  // Scores / factor, minus infinity where the query does not see the key -> weights, rounded; what was gathered is
  // rescaled.
  template <int keys, int columns>
  __device__ void add(float factor, const float (&scores)[keys / 8][4], Pair (&weights)[keys / 8][2],
                      float (&results)[columns / 8][4]) {
    COXSWAIN_UNROLL
    for (int half = 0; half < 2; ++half) {
      float highest = kNone;
      COXSWAIN_UNROLL
      for (int j = 0; j < keys / 4; ++j) highest = fmaxf(highest, scores[j / 2][2 * half + j % 2]);
      highest = fmaxf(maximum[half], join_row(highest, Maximum()) * factor);
      const float base = highest == kNone ? 0.0f : highest;
      const float rescale = ptx::exp2(maximum[half] - base);
      float added = 0;
      COXSWAIN_UNROLL
      for (int j = 0; j < keys / 8; ++j) {
        const float first = ptx::exp2(multiply_add(scores[j][2 * half], factor, -base));
        const float second = ptx::exp2(multiply_add(scores[j][2 * half + 1], factor, -base));
        added += first + second;
        weights[j][half] = ptx::pack(first, second);
      }
      sum[half] = multiply_add(sum[half], rescale, added);
      maximum[half] = highest;
      COXSWAIN_UNROLL
      for (int j = 0; j < columns / 8; ++j) {
        results[j][2 * half] *= rescale;
        results[j][2 * half + 1] *= rescale;
      }
    }
  }
};

// Scores of a warp's queries from `query` and keys from `key`: minus infinity where the query does not see the key.
template <int keys>
__device__ void hide(const Forward& op, std::int64_t sequence, int query, int key, float (&scores)[keys / 8][4]) {
  const int t = static_cast<int>(op.extents.t), first_column = key + fragment_column();
  for (int half = 0; half < 2; ++half) {
    const int row = query + fragment_row(half);
    const int first_key = static_cast<int>(op.visible.first_key(sequence, row < t ? row : t - 1));
    COXSWAIN_UNROLL
    for (int j = 0; j < keys / 4; ++j) {
      const int column = first_column + j / 2 * 8 + j % 2;
      if (column > row || column < first_key) scores[j / 2][2 * half + j % 2] = kNone;
    }
  }
}

template <int columns, int keys>
__global__ void __launch_bounds__(kFlashThreads) flash_attention_kernel(Forward op) {
  constexpr int kTileElements = keys * kStride<columns>;
  const Extents& extents = op.extents;
  const std::int64_t head = blockIdx.x, sequence = blockIdx.z, group = extents.kv_head(head);
  const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kQueries;  // the longest first
  const int t = static_cast<int>(extents.t), last = first + kQueries < t ? first + kQueries : t;
  const int first_of_warp = first + warp() * kOwnRows, last_of_warp = first_of_warp + kOwnRows - 1;
  bf16* q = dynamic_shared<bf16>();
  bf16* own = q + warp() * kOwnRows * kStride<columns>;
  bf16* pairs = q + kQueries * kStride<columns>;  // two tiles of keys and two of values
  const Rows<bf16> all_keys(op.k, sequence, group), all_values(op.v, sequence, group);
  const auto load = [&](int key, bf16* pair) {
    load_tile<columns, keys, kFlashThreads>(all_keys, key, extents, op.wide, pair);
    load_tile<columns, keys, kFlashThreads>(all_values, key, extents, op.wide, pair + kTileElements);
  };
  load_tile<columns, kQueries, kFlashThreads>(Rows<bf16>(op.q, sequence, head), first, extents, op.wide, q);
  const FirstKeys begin = first_keys<kQueries, kFlashThreads>(op.visible, sequence, first);
  Softmax softmax;
  float results[columns / 8][4] = {};
  int key = begin.lowest / keys * keys, turn = 0;
  load(key, pairs);
  for (; key < last; key += keys, turn ^= 1) {
    bf16* k = pairs + turn * 2 * kTileElements;
    ptx::commit_copies();
    ptx::wait_for_copies<0>();
    __syncthreads();  // these keys and values are there, and the last ones are no longer read
    if (key + keys < last) load(key + keys, pairs + (1 - turn) * 2 * kTileElements);
    if (key > last_of_warp) continue;
    float scores[keys / 8][4] = {};
    multiply_rows<columns, keys>(own, k, scores);
    if (key + keys - 1 > first_of_warp || key < begin.highest) hide<keys>(op, sequence, first_of_warp, key, scores);
    Pair weights[keys / 8][2];
    softmax.template add<keys, columns>(op.factor, scores, weights, results);
    add_weighted<columns, keys>(weights, k + kTileElements, results);
  }
  for (int half = 0; half < 2; ++half) {
    const float sum = join_row(softmax.sum[half], Add());
    const int query = first_of_warp + fragment_row(half);
    softmax.sum[half] = sum;
    if (lane() % 4 == 0 && query < t)
      op.log_sum_exp[(sequence * extents.a + head) * t + query] =
          multiply_add(softmax.maximum[half], kLn2, std::log(sum));
  }
  store_rows<columns>(
      results, [&softmax](int half) { return 1.0f / softmax.sum[half]; }, own, Rows<bf16>(op.out, sequence, head),
      first_of_warp, extents, op.wide);
}

template <int columns, int keys>
void run(cudaStream_t stream, const Forward& op) {
  launch(stream,
         {blocks_of(op.extents, kQueries, op.extents.a), dim3(kFlashThreads), tile_bytes<columns>(kQueries + 4 * keys)},
         flash_attention_kernel<columns, keys>, op);
}

}  // namespace

void flash_attention(cudaStream_t stream, const TensorView& q, const TensorView& k, const TensorView& v,
                     const AttentionMask& mask, float scale, const TensorView& out, const TensorView& log_sum_exp) {
  const Extents extents(q, k);
  const Forward op{Heads<bf16>(q),
                   Heads<bf16>(k),
                   Heads<bf16>(v),
                   Heads<bf16>(out),
                   extents,
                   Visible(mask, extents.t),
                   scale * kLog2E,
                   log_sum_exp.as<float>(),
                   moves_wide({&q, &k, &v, &out})};
  dispatch_columns("attention", extents.d, [&](auto width) {
    constexpr int kColumns = decltype(width)::value;
    run<kColumns, kColumns <= 128 ? 64 : 32>(stream, op);
  });
}

}  // namespace coxswain
