// Attention backward in BF16 on tensor cores (Dao, "FlashAttention-2"); formulas in kernels/cpu/attention_gradient.cpp:
// weights p = exp(scale q k - L) are computed again, slopes ds = p (dout v - delta), and
//   dv = p^T dout,  dk = scale ds^T q,  dq = scale ds k.
//
// One kernel makes dk and dv, block by block of 64 keys, another dq, block by block of 64 queries; a warp has 16 of
// these rows, and its weights and slopes go from the sums of one product into the next without leaving its registers.
// Heads above 128 make dv and dk in two launches: the sums of both would not fit. Weights and slopes are rounded to
// bf16.
//
// Orders of summation: dk and dv of a key over the group's query heads, then over query tiles; dq over key tiles. No
// sum has two writers: the price is seven products where five would do if dq were added up by whoever comes along.
//
// Floor: 14 d FLOP for each pair of query and key that see each other. Shared memory is read once for 16 rows: 128
// bytes a clock feed 819 multiply-adds a clock in scores and 1,024 in what is added up, of which an A100 does 1,024.
#include <climits>

#include "kernels/cuda/flash.cuh"
#include "kernels/cuda/flash_attention.h"

namespace coxswain {
namespace {

using namespace flash;

constexpr int kTileRows = 64, kOwnRows = 16;  // of a block's own tile, and a warp's of it
constexpr int kWarps = kTileRows / kOwnRows, kFlashThreads = kWarps * kWarp;
// Of a tile that the others go through: two of them, and their partners', lie in shared memory with the own ones.
template <int columns>
constexpr int kMoving = columns <= 128 ? 64 : 32;
enum class Part { both, keys, values };

struct Backward : attention_tiles::Gradient<bf16> {
  float factor;  // of scores, in powers of two
  bool wide;

  Backward(const Backend::AttentionGradient& call, float* scratch)
      : Gradient(call, scratch),
        factor(call.scale * kLog2E),
        wide(moves_wide({&call.q, &call.k, &call.v, &call.out, &call.dout, &call.dq, &call.dk, &call.dv})) {}
};

// A group of `lanes` lanes has one row, a lane eight elements. Floor: out and dout through memory once.
__global__ void __launch_bounds__(kThreads) flash_delta_kernel(Backward op, int lanes) {
  const Extents& extents = op.extents;
  const std::int64_t item = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / lanes;
  const bool present = item < extents.b * extents.a * extents.t;
  const std::int64_t row = present ? item : 0, token = row % extents.t, head = row / extents.t % extents.a;
  const std::int64_t sequence = row / extents.t / extents.a;
  const int column = lane() % lanes * 8, d = static_cast<int>(extents.d);
  const bf16 *out = op.out.at(sequence, token, head) + column, *dout = op.dout.at(sequence, token, head) + column;
  float sum = 0;
  if (op.wide && column < d) {
    const uint4 left = ptx::load_wide(out), right = ptx::load_wide(dout);
    const Pair lefts[4] = {left.x, left.y, left.z, left.w}, rights[4] = {right.x, right.y, right.z, right.w};
    for (int i = 0; i < 4; ++i) {
      sum = multiply_add(ptx::first_of(lefts[i]), ptx::first_of(rights[i]), sum);
      sum = multiply_add(ptx::second_of(lefts[i]), ptx::second_of(rights[i]), sum);
    }
  } else {
    for (int c = 0; c < 8 && column + c < d; ++c) sum = multiply_add(load(out[c]), load(dout[c]), sum);
  }
  for (int distance = lanes / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
  if (present && column == 0) op.delta[item] = sum;
}

// What is known of a tile's queries, in shared memory.
template <int rows>
struct QueryFacts {
  float log_sum_exp[rows], delta[rows];  // the former in powers of two
  int first_key[rows];                   // that the query sees; beyond all keys where there is no query
};

// The same of one query, on its way there: a thread's.
template <int rows>
struct OneQuery {
  float log_sum_exp, delta;
  int first_key;

  __device__ OneQuery(const Backward& op, std::int64_t sequence, std::int64_t head, int first) {
    const int query = first + static_cast<int>(threadIdx.x) % rows, t = static_cast<int>(op.extents.t);
    const std::int64_t row = op.row(sequence, head, query < t ? query : 0);
    log_sum_exp = op.log_sum_exp[row] * kLog2E;
    delta = op.delta[row];
    first_key = query < t ? static_cast<int>(op.visible.first_key(sequence, query)) : INT_MAX;
  }
  __device__ void store(QueryFacts<rows>& facts) const {
    const int i = static_cast<int>(threadIdx.x);
    if (i < rows) facts.log_sum_exp[i] = log_sum_exp, facts.delta[i] = delta, facts.first_key[i] = first_key;
  }
};

// Behind the last query that sees a key of [key, last_key], for a key block of a whole thread block.
__device__ inline int end_of_queries(const Visible& visible, std::int64_t sequence, int key, int last_key) {
  const int t = static_cast<int>(visible.t);
  if (!visible.starts) {
    const std::int64_t end = last_key + visible.band;
    return end < t ? static_cast<int>(end) : t;
  }
  int last = key;
  for (int query = key + static_cast<int>(threadIdx.x); query < t; query += kFlashThreads)
    if (visible.first_key(sequence, query) <= last_key) last = query;
  return join_block(last, Greater()) + 1;
}

// Scores of a warp's 16 keys from `key` against a tile of queries from `query` -> weights.
template <int rows>
__device__ void weigh(const Backward& op, const QueryFacts<rows>& facts, int query, int key, bool masked,
                      float (&scores)[rows / 8][4]) {
  COXSWAIN_UNROLL
  for (int j = 0; j < rows / 8; ++j) COXSWAIN_UNROLL
  for (int e = 0; e < 4; ++e) {
    const int column = j * 8 + fragment_column() + e % 2, row = key + fragment_row(e / 2);
    const float weight = ptx::exp2(multiply_add(scores[j][e], op.factor, -facts.log_sum_exp[column]));
    const bool sees = !masked || (row <= query + column && row >= facts.first_key[column]);
    scores[j][e] = sees ? weight : 0.0f;
  }
}

template <int rows>
using Weights = Pair[rows / 8][2];
template <int rows>
__device__ void round_all(const float (&values)[rows / 8][4], Weights<rows>& rounded) {
  COXSWAIN_UNROLL
  for (int i = 0; i < rows / 4; ++i)
    rounded[i / 2][i % 2] = ptx::pack(values[i / 2][i % 2 * 2], values[i / 2][i % 2 * 2 + 1]);
}

// A block's keys with tiles in shared memory, and their queries: head after head of the group, tile after tile.
template <int columns>
struct KeyBlock {
  static constexpr int kRows = kMoving<columns>, kOwn = kTileRows * kStride<columns>, kOther = kRows * kStride<columns>;
  using Facts = QueryFacts<kRows>;
  const Backward& op;
  std::int64_t group = blockIdx.x, sequence = blockIdx.z;
  int key = static_cast<int>(blockIdx.y) * kTileRows, last_key, tiles, count;
  bf16 *k = dynamic_shared<bf16>(), *v = k + kOwn, *pairs = v + kOwn;  // two tiles of q, each with dout
  Facts* facts = reinterpret_cast<Facts*>(pairs + 4 * kOther);         // of both

  __device__ explicit KeyBlock(const Backward& call) : op(call) {
    const int t = static_cast<int>(op.extents.t);
    last_key = (key + kTileRows < t ? key + kTileRows : t) - 1;
    tiles = (end_of_queries(op.visible, sequence, key, last_key) - key + kRows - 1) / kRows;
    count = tiles * static_cast<int>(op.extents.a / op.extents.g);
  }
  __device__ std::int64_t head_of(int i) const { return group * (op.extents.a / op.extents.g) + i / tiles; }
  __device__ int query_of(int i) const { return key + i % tiles * kRows; }
  __device__ bool masked(int i) const {
    const int query = query_of(i), t = static_cast<int>(op.extents.t);
    return op.visible.starts || op.visible.band < t || query < last_key || query + kRows > t;
  }
  __device__ bf16* q(int i) const { return pairs + i % 2 * 2 * kOther; }
  __device__ bf16* dout(int i) const { return q(i) + kOther; }
  __device__ void load_keys() const {
    load_tile<columns, kTileRows, kFlashThreads>(Rows<bf16>(op.k, sequence, group), key, op.extents, op.wide, k);
    load_tile<columns, kTileRows, kFlashThreads>(Rows<bf16>(op.v, sequence, group), key, op.extents, op.wide, v);
  }
  __device__ void load_queries(int i) const {
    const std::int64_t head = head_of(i);
    load_tile<columns, kRows, kFlashThreads>(Rows<bf16>(op.q, sequence, head), query_of(i), op.extents, op.wide, q(i));
    load_tile<columns, kRows, kFlashThreads>(Rows<bf16>(op.dout, sequence, head), query_of(i), op.extents, op.wide,
                                             dout(i));
  }
  __device__ OneQuery<kRows> fact(int i) const { return OneQuery<kRows>(op, sequence, head_of(i), query_of(i)); }
};

template <int columns, Part part>
__global__ void __launch_bounds__(kFlashThreads) flash_key_gradient_kernel(Backward op) {
  constexpr bool kKeys = part != Part::values, kValues = part != Part::keys;
  constexpr int kRows = kMoving<columns>;
  const KeyBlock<columns> block(op);
  const int own_key = block.key + warp() * kOwnRows, own_row = warp() * kOwnRows * kStride<columns>;
  float dk[columns / 8][4] = {}, dv[columns / 8][4] = {};
  block.load_keys();
  block.load_queries(0);
  block.fact(0).store(block.facts[0]);
  for (int i = 0; i < block.count; ++i) {
    const bool more = i + 1 < block.count;
    const QueryFacts<kRows>& facts = block.facts[i % 2];
    ptx::commit_copies();
    ptx::wait_for_copies<0>();
    __syncthreads();  // these queries are there, and the last ones are no longer read
    if (more) block.load_queries(i + 1);
    float weights[kRows / 8][4] = {};
    Weights<kRows> rounded;
    multiply_rows<columns, kRows>(block.k + own_row, block.q(i), weights);
    weigh<kRows>(op, facts, block.query_of(i), own_key, block.masked(i), weights);
    round_all<kRows>(weights, rounded);
    if constexpr (kValues) add_weighted<columns, kRows>(rounded, block.dout(i), dv);
    const OneQuery<kRows> next = block.fact(more ? i + 1 : i);
    if constexpr (kKeys) {
      float changes[kRows / 8][4] = {};
      multiply_rows<columns, kRows>(block.v + own_row, block.dout(i), changes);
      COXSWAIN_UNROLL
      for (int n = 0; n < kRows / 2; ++n)
        weights[n / 4][n % 4] *= changes[n / 4][n % 4] - facts.delta[n / 4 * 8 + fragment_column() + n % 2];
      round_all<kRows>(weights, rounded);
      add_weighted<columns, kRows>(rounded, block.q(i), dk);
    }
    next.store(block.facts[1 - i % 2]);
  }
  // The warp's rows of k and v are read by itself alone.
  if constexpr (kKeys)
    store_rows<columns>(
        dk, [&op](int) { return op.scale; }, block.k + own_row, Rows<bf16>(op.dk, block.sequence, block.group), own_key,
        op.extents, op.wide);
  if constexpr (kValues)
    store_rows<columns>(
        dv, [](int) { return 1.0f; }, block.v + own_row, Rows<bf16>(op.dv, block.sequence, block.group), own_key,
        op.extents, op.wide);
}

// What a lane knows of its two queries.
struct OwnQueries {
  float log_sum_exp[2], delta[2];
  int query[2], first_key[2];

  __device__ OwnQueries(const Backward& op, std::int64_t sequence, std::int64_t head, int first) {
    const int t = static_cast<int>(op.extents.t);
    for (int half = 0; half < 2; ++half) {
      query[half] = first + fragment_row(half);
      const int present = query[half] < t ? query[half] : t - 1;
      log_sum_exp[half] = op.log_sum_exp[op.row(sequence, head, present)] * kLog2E;
      delta[half] = op.delta[op.row(sequence, head, present)];
      first_key[half] = static_cast<int>(op.visible.first_key(sequence, present));
    }
  }
  // Scores and changes of weights with keys from `key` -> slopes.
  template <int rows>
  __device__ void slope(float factor, int key, bool masked, const float (&changes)[rows / 8][4],
                        float (&scores)[rows / 8][4]) const {
    COXSWAIN_UNROLL
    for (int n = 0; n < rows / 2; ++n) {
      const int half = n % 4 / 2, column = key + n / 4 * 8 + fragment_column() + n % 2;
      float& score = scores[n / 4][n % 4];
      const float weight = ptx::exp2(multiply_add(score, factor, -log_sum_exp[half]));
      const bool sees = !masked || (column <= query[half] && column >= first_key[half]);
      score = sees ? weight * (changes[n / 4][n % 4] - delta[half]) : 0.0f;
    }
  }
};

template <int columns>
__global__ void __launch_bounds__(kFlashThreads) flash_query_gradient_kernel(Backward op) {
  constexpr int kRows = kMoving<columns>, kOwn = kTileRows * kStride<columns>, kOther = kRows * kStride<columns>;
  const Extents& extents = op.extents;
  const std::int64_t head = blockIdx.x, sequence = blockIdx.z, group = extents.kv_head(head);
  const int first = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kTileRows;  // the longest first
  const int own_first = first + warp() * kOwnRows;
  const int t = static_cast<int>(extents.t), last = first + kTileRows < t ? first + kTileRows : t;
  bf16 *q = dynamic_shared<bf16>(), *dout = q + kOwn, *pairs = dout + kOwn;  // two tiles of k, each with v
  bf16 *own_q = q + warp() * kOwnRows * kStride<columns>, *own_dout = dout + (own_q - q);
  const Rows<bf16> all_keys(op.k, sequence, group), all_values(op.v, sequence, group);
  const auto load = [&](int key, bf16* pair) {
    load_tile<columns, kRows, kFlashThreads>(all_keys, key, extents, op.wide, pair);
    load_tile<columns, kRows, kFlashThreads>(all_values, key, extents, op.wide, pair + kOther);
  };
  const FirstKeys begin = first_keys<kTileRows, kFlashThreads>(op.visible, sequence, first);
  const OwnQueries own(op, sequence, head, own_first);
  float dq[columns / 8][4] = {};
  int key = begin.lowest / kRows * kRows, turn = 0;
  load_tile<columns, kTileRows, kFlashThreads>(Rows<bf16>(op.q, sequence, head), first, extents, op.wide, q);
  load_tile<columns, kTileRows, kFlashThreads>(Rows<bf16>(op.dout, sequence, head), first, extents, op.wide, dout);
  load(key, pairs);
  for (; key < last; key += kRows, turn ^= 1) {
    const bf16 *k = pairs + turn * 2 * kOther, *v = k + kOther;
    float scores[kRows / 8][4] = {}, changes[kRows / 8][4] = {};
    ptx::commit_copies();
    ptx::wait_for_copies<0>();
    __syncthreads();  // these keys and values are there, and the last ones are no longer read
    if (key + kRows < last) load(key + kRows, pairs + (1 - turn) * 2 * kOther);
    multiply_rows<columns, kRows>(own_q, k, scores);
    multiply_rows<columns, kRows>(own_dout, v, changes);
    own.slope<kRows>(op.factor, key, key + kRows - 1 > own_first || key < begin.highest, changes, scores);
    Weights<kRows> slopes;
    round_all<kRows>(scores, slopes);
    add_weighted<columns, kRows>(slopes, k, dq);
  }
  store_rows<columns>(
      dq, [&op](int) { return op.scale; }, own_q, Rows<bf16>(op.dq, sequence, head), own_first, extents, op.wide);
}

template <int columns>
void run(cudaStream_t stream, const Backward& op) {
  constexpr int kInShared = 2 * kTileRows + 4 * kMoving<columns>;  // rows
  const LaunchShape keys{blocks_of(op.extents, kTileRows, op.extents.g), dim3(kFlashThreads),
                         tile_bytes<columns>(kInShared) + 2 * sizeof(QueryFacts<kMoving<columns>>)};
  if constexpr (columns <= 128) {
    launch(stream, keys, flash_key_gradient_kernel<columns, Part::both>, op);
  } else {
    launch(stream, keys, flash_key_gradient_kernel<columns, Part::keys>, op);
    launch(stream, keys, flash_key_gradient_kernel<columns, Part::values>, op);
  }
  launch(stream, {blocks_of(op.extents, kTileRows, op.extents.a), dim3(kFlashThreads), tile_bytes<columns>(kInShared)},
         flash_query_gradient_kernel<columns>, op);
}

}  // namespace

void flash_attention_gradient(cudaStream_t stream, const Backend::AttentionGradient& call, float* delta) {
  const Backward op(call, delta);
  const Extents& extents = op.extents;
  const int lanes = extents.d <= 64 ? 8 : extents.d <= 128 ? 16 : 32;
  launch(stream, {dim3(pieces(extents.b * extents.a * extents.t * lanes, kThreads))}, flash_delta_kernel, op, lanes);
  dispatch_columns("attention_gradient", extents.d, [&](auto width) { run<decltype(width)::value>(stream, op); });
}

}  // namespace coxswain
