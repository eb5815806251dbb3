// Attention of single rows to what is cached of their texts: out = sum_j p_j v_j, p = softmax(scale q k_j) over the
// keys j that the row's position sees. Scores of all keys first, then maximum, sum and weighted values in the order of
// keys.
//
// Keys lie in blocks of 64 as [block, d, 64], so that a block's scores are sums over d in registers, side by side and
// without a sum across lanes; values lie as [context, d]. A work item is one head of one row: its order is its own.
#include <omp.h>

#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/lanes.h"

namespace coxswain {
namespace {

constexpr std::int64_t kBlock = Backend::kCacheBlock;
constexpr std::int64_t kPair = 2 * kLanes;
constexpr int kPairs = kBlock / kPair;  // pairs of registers in a block

template <class T>
struct CachedHeads {
  using R = Real<T>;
  const Backend::CachedAttention& op;
  std::int64_t heads, groups, d;

  T* head_of(const TensorView& cache, std::int64_t slot, std::int64_t group) const {
    return cache.as<T>() + slot * cache.strides[0] + group * cache.strides[1];
  }

  void append(std::int64_t row, std::int64_t group) const {
    const std::int64_t slot = op.slots.as<std::int32_t>()[row], position = op.positions.as<std::int32_t>()[row];
    const T* key = op.k.as<T>() + row * op.k.strides[0] + group * op.k.strides[1];
    const T* value = op.v.as<T>() + row * op.v.strides[0] + group * op.v.strides[1];
    T* keys = head_of(op.keys, slot, group) + position / kBlock * kBlock * d + position % kBlock;
    for (std::int64_t c = 0; c < d; ++c) keys[c * kBlock] = key[c];
    std::copy_n(value, d, head_of(op.values, slot, group) + position * d);
  }

  // scores[j] = scale q k_j of the block's 64 keys; asks for as much memory from `soon` on.
  void score_block(const R* query, const T* keys, const T* soon, R* scores) const {
    LanePair<T> sums[kPairs];
    for (LanePair<T>& sum : sums) sum = {all_lanes(R(0)), all_lanes(R(0))};
    for (std::int64_t c = 0; c < d; ++c) {
      const Lanes<R> factor = all_lanes(query[c]);
      prefetch(soon + c * kBlock);
#pragma GCC unroll 2
      for (int i = 0; i < kPairs; ++i)
        sums[i] = multiply_add(factor, load_pair(keys + c * kBlock + i * kPair), sums[i]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < kPairs; ++i) store_pair(sums[i], scores + i * kPair);
  }

  // out[c ... c + 64) = sum_j weights[j] values[j]: even and odd keys apart, so that additions overlap. Asks for as
  // much memory from `soon` on as the last 64 values take.
  void weigh(const R* weights, const T* values, const T* soon, std::int64_t first, std::int64_t count,
             std::int64_t columns, R inverse, T* out) const {
    LanePair<T> even[kPairs], odd[kPairs];
    for (LanePair<T>& sum : even) sum = {all_lanes(R(0)), all_lanes(R(0))};
    for (LanePair<T>& sum : odd) sum = {all_lanes(R(0)), all_lanes(R(0))};
    const auto add_row = [&](LanePair<T> * sums, std::int64_t j) __attribute__((always_inline)) {
      const Lanes<R> factor = all_lanes(weights[j]);
      const T* row = values + j * d;
      prefetch(j + kBlock < count ? row + kBlock * d : soon + (j + kBlock - count) * d);
#pragma GCC unroll 2
      for (int i = 0; i < kPairs; ++i)
        if (i * kPair < columns)
          sums[i] = multiply_add(factor, load_pair(row + i * kPair, columns - i * kPair), sums[i]);
    };
    std::int64_t j = first;
    for (; j + 2 <= count; j += 2) {
      add_row(even, j);
      add_row(odd, j + 1);
    }
    if (j < count) add_row(even, j);
    R results[kBlock];
    for (int i = 0; i < kPairs; ++i) store_pair(add(even[i], odd[i]), results + i * kPair);
    for (std::int64_t c = 0; c < columns; ++c) put(out[c], results[c] * inverse);
  }

  // 64 values, which may lie beyond the end of the memory.
  static void prefetch(const T* values) {
    constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kBlock; i += kLine) __builtin_prefetch(values + i, 0, 2);
  }

  const T* keys_of(std::int64_t row, std::int64_t head) const {
    return head_of(op.keys, op.slots.as<std::int32_t>()[row], head / (heads / groups));
  }

  // `next`: where the keys lie that will be wanted next.
  void attend(std::int64_t row, std::int64_t head, const T* next, R* query, R* scores) const {
    const std::int64_t slot = op.slots.as<std::int32_t>()[row], position = op.positions.as<std::int32_t>()[row];
    const std::int64_t group = head / (heads / groups), count = position + 1;
    const std::int64_t first = op.band > 0 ? std::max<std::int64_t>(count - op.band, 0) : 0;
    const T* q = op.q.as<T>() + row * op.q.strides[0] + head * op.q.strides[1];
    for (std::int64_t c = 0; c < d; ++c) query[c] = load(q[c]) * static_cast<R>(op.scale);
    const T *keys = keys_of(row, head), *values = head_of(op.values, slot, group);
    for (std::int64_t block = first / kBlock * kBlock; block < count; block += kBlock) {
      const T* soon = block + kBlock < count ? keys + (block + kBlock) * d : values + first * d;
      score_block(query, keys + block * d, soon, scores + block);
    }
    R* seen = scores + first;
    const R highest =
        lane_max<R>(count - first, -std::numeric_limits<R>::infinity(), [=](std::int64_t j) { return seen[j]; });
    const R sum = lane_sum<R>(count - first, [=](std::int64_t j) { return seen[j] = exp_fast(seen[j] - highest); });
    T* out = op.out.as<T>() + row * op.out.strides[0] + head * op.out.strides[1];
    for (std::int64_t c = 0; c < d; c += kBlock)
      weigh(scores, values + c, next + c, first, count, std::min(kBlock, d - c), R(1) / sum, out + c);
  }
};

template <class T>
void cached_attention(Backend& backend, const Backend::CachedAttention& op) {
  using R = Real<T>;
  const CachedHeads<T> work{op, op.q.shape[1], op.k.shape[1], op.q.shape[2]};
  const std::int64_t rows = op.q.shape[0], context = op.keys.shape[2];
  const std::int64_t reals = (context + work.d + kLanes - 1) / kLanes * kLanes;
  const Scratch<R> memory(backend, reals * omp_get_max_threads());
  // A head's rows of one slot, one after the other, find its keys in the cache.
  const std::int64_t chunk = std::max<std::int64_t>(1, std::min<std::int64_t>(16, rows / 8));
  const std::int64_t chunks = (rows + chunk - 1) / chunk;
#pragma omp parallel if (rows * work.heads > 1)
  {
#pragma omp for schedule(static)
    for (std::int64_t item = 0; item < rows * work.groups; ++item) work.append(item / work.groups, item % work.groups);
    R* scores = memory.data() + reals * omp_get_thread_num();
#pragma omp for schedule(dynamic)
    for (std::int64_t item = 0; item < chunks * work.heads; ++item) {
      const std::int64_t first = item / work.heads * chunk;
      for (std::int64_t row = first; row < std::min(rows, first + chunk); ++row) {
        const T* next = work.keys_of(std::min(row + 1, rows - 1), item % work.heads);
        work.attend(row, item % work.heads, next, scores + context, scores);
      }
    }
  }
}

void require_inside(const Backend::CachedAttention& op) {
  for (std::int64_t row = 0; row < op.q.shape[0]; ++row) {
    const std::int64_t slot = op.slots.as<std::int32_t>()[row], position = op.positions.as<std::int32_t>()[row];
    if (slot < 0 || slot >= op.keys.shape[0] || position < 0 || position >= op.keys.shape[2])
      throw std::invalid_argument("cached_attention: row " + std::to_string(row) + " is at position " +
                                  std::to_string(position) + " of slot " + std::to_string(slot) + ", the cache is " +
                                  op.keys.shape.str());
  }
}

}  // namespace

void CpuBackend::do_cached_attention(const CachedAttention& op) {
  if (op.q.elements() == 0) return;
  require_inside(op);
  dispatch_type(op.q.dtype, [&](auto tag) { coxswain::cached_attention<typename decltype(tag)::type>(*this, op); });
}

}  // namespace coxswain
