// Attention of single rows to what is cached of their texts: out = sum_j p_j v_j, p = softmax(scale q k_j) over the
// keys j that the row's position sees. Scores of all keys first, then maximum, sum and weighted values in the order of
// keys.
//
// Keys lie in blocks of 64 as [block, d, 64], so that a block's scores are sums over d in registers, side by side and
// without a sum across lanes; values lie as [context, d]. A work item is one head of one row: its order is its own.
//
// Keys and values come from memory once. Several heads of a row together: all their keys, then all their values, which
// lie at equal distances, so that the processor's own prefetching keeps up with the memory (measured: reading alone
// reaches 67 GB/s, with keys and values in turns 54). While a head is read, the same places of the next one are asked
// for.
#include <omp.h>

#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/lanes.h"

namespace coxswain {
namespace {

constexpr std::int64_t kBlock = Backend::kCacheBlock;
constexpr std::int64_t kPair = 2 * kLanes;
constexpr int kPairs = kBlock / kPair;  // pairs of registers in a block
constexpr int kBlocks = 4;              // scored together: so many sums that none waits for its last addition
constexpr std::int64_t kHeads = 16;     // of a row together, at most

// Work: some heads of some rows.
struct Unit {
  std::int64_t row, rows_end, head, heads_end;
};

template <class T>
struct CachedHeads {
  using R = Real<T>;
  const Backend::CachedAttention& op;
  std::int64_t heads, groups, d;
  bool alone;  // no key is seen by two rows or heads: each item appends its own. Else all are appended before

  T* head_of(const TensorView& cache, std::int64_t slot, std::int64_t group) const {
    return cache.as<T>() + slot * cache.strides[0] + group * cache.strides[1];
  }

  void append_key(std::int64_t row, std::int64_t group) const {
    const T* key = op.k.as<T>() + row * op.k.strides[0] + group * op.k.strides[1];
    const std::int64_t position = op.positions.as<std::int32_t>()[row];
    T* keys = head_of(op.keys, op.slots.as<std::int32_t>()[row], group);
    keys += position / kBlock * kBlock * d + position % kBlock;
    for (std::int64_t c = 0; c < d; ++c) keys[c * kBlock] = key[c];
  }
  void append_value(std::int64_t row, std::int64_t group) const {
    const T* value = op.v.as<T>() + row * op.v.strides[0] + group * op.v.strides[1];
    const std::int64_t position = op.positions.as<std::int32_t>()[row];
    std::copy_n(value, d, head_of(op.values, op.slots.as<std::int32_t>()[row], group) + position * d);
  }

  // The keys that a row sees, [first, count), and where they and their values lie.
  struct Seen {
    std::int64_t first, count;
    const T *keys, *values;
  };
  Seen seen(std::int64_t row, std::int64_t head) const {
    const std::int64_t slot = op.slots.as<std::int32_t>()[row], group = head / (heads / groups);
    const std::int64_t count = op.positions.as<std::int32_t>()[row] + 1;
    const std::int64_t first = op.band > 0 ? std::max<std::int64_t>(count - op.band, 0) : 0;
    return {first, count, head_of(op.keys, slot, group), head_of(op.values, slot, group)};
  }

  // 64 values, which may lie beyond the end of the memory.
  static void prefetch(const T* values) {
    constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kBlock; i += kLine) __builtin_prefetch(values + i, 0, 2);
  }

  // scores[j] = scale q k_j of the 64 N keys of N blocks.
  template <int N>
  void score_blocks(const R* query, const T* keys, R* scores) const {
    LanePair<T> sums[N * kPairs];
    for (LanePair<T>& sum : sums) sum = {all_lanes(R(0)), all_lanes(R(0))};
    for (std::int64_t c = 0; c < d; ++c) {
      const Lanes<R> factor = all_lanes(query[c]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) prefetch(keys + (n * d + c) * kBlock + op.keys.strides[1]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n)
#pragma GCC unroll 2
        for (int i = 0; i < kPairs; ++i)
          sums[n * kPairs + i] =
              multiply_add(factor, load_pair(keys + (n * d + c) * kBlock + i * kPair), sums[n * kPairs + i]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < N * kPairs; ++i) store_pair(sums[i], scores + i * kPair);
  }

  // scores[j] = exp(scale q k_j - the greatest of them) of the keys that are seen; returns their sum.
  R score(std::int64_t row, std::int64_t head, const Seen& all, R* query, R* scores) const {
    const T* q = op.q.as<T>() + row * op.q.strides[0] + head * op.q.strides[1];
    for (std::int64_t c = 0; c < d; ++c) query[c] = load(q[c]) * static_cast<R>(op.scale);
    std::int64_t block = all.first / kBlock * kBlock;
    for (std::int64_t left; (left = (all.count - block + kBlock - 1) / kBlock) > 0;
         block += std::min<std::int64_t>(left, kBlocks) * kBlock) {
      const T* keys = all.keys + block * d;
      if (left == 1) score_blocks<1>(query, keys, scores + block);
      if (left == 2) score_blocks<2>(query, keys, scores + block);
      if (left == 3) score_blocks<3>(query, keys, scores + block);
      if (left >= kBlocks) score_blocks<kBlocks>(query, keys, scores + block);
    }
    if (alone) {  // its own key is not in the cache yet: the lines of which it takes a place each are near by now
      const T* key = op.k.as<T>() + row * op.k.strides[0] + head * op.k.strides[1];
      R sum = 0;
      for (std::int64_t c = 0; c < d; ++c) sum = multiply_add(query[c], R(load(key[c])), sum);
      scores[all.count - 1] = sum;
      append_key(row, head);
    }
    R* own = scores + all.first;
    const std::int64_t count = all.count - all.first;
    const R highest = lane_max<R>(count, -std::numeric_limits<R>::infinity(), [=](std::int64_t j) { return own[j]; });
    return lane_sum<R>(count, [=](std::int64_t j) { return own[j] = exp_fast(own[j] - highest); });
  }

  // out[c ... c + columns) = sum_j weights[j] values[j], columns at most 64 (`whole`): even and odd keys apart, so that
  // additions overlap.
  template <bool whole>
  void weigh_columns(const R* weights, const T* values, const Seen& all, std::int64_t columns, R inverse,
                     T* out) const {
    LanePair<T> even[kPairs], odd[kPairs];
    for (LanePair<T>& sum : even) sum = {all_lanes(R(0)), all_lanes(R(0))};
    for (LanePair<T>& sum : odd) sum = {all_lanes(R(0)), all_lanes(R(0))};
    const auto add_row = [&](LanePair<T> * sums, std::int64_t j) __attribute__((always_inline)) {
      const Lanes<R> factor = all_lanes(weights[j]);
      const T* row = values + j * d;
      prefetch(row + op.values.strides[1]);
#pragma GCC unroll 2
      for (int i = 0; i < kPairs; ++i)
        if (whole || i * kPair < columns)
          sums[i] = multiply_add(factor, load_pair(row + i * kPair, whole ? kPair : columns - i * kPair), sums[i]);
    };
    std::int64_t j = all.first;
    for (; j + 2 <= all.count; j += 2) {
      add_row(even, j);
      add_row(odd, j + 1);
    }
    if (j < all.count) add_row(even, j);
    alignas(64) R results[kBlock];
#pragma GCC unroll 2
    for (int i = 0; i < kPairs; ++i) store_pair(add(even[i], odd[i]), results + i * kPair);
    for (std::int64_t c = 0; c < columns; ++c) put(out[c], results[c] * inverse);
  }
  void weigh(std::int64_t row, std::int64_t head, const Seen& all, const R* weights, R sum) const {
    T* out = op.out.as<T>() + row * op.out.strides[0] + head * op.out.strides[1];
    std::int64_t c = 0;
    for (; c + kBlock <= d; c += kBlock) weigh_columns<true>(weights, all.values + c, all, kBlock, R(1) / sum, out + c);
    if (c < d) weigh_columns<false>(weights, all.values + c, all, d - c, R(1) / sum, out + c);
  }

  // Memory of a thread: a query and, of each of kHeads heads, the scores of a context.
  void attend(const Unit& unit, R* memory) const {
    const std::int64_t context = op.keys.shape[2];
    R *query = memory, *scores = memory + (d + kLanes - 1) / kLanes * kLanes, sums[kHeads];
    for (std::int64_t row = unit.row; row < unit.rows_end; ++row) {
      for (std::int64_t head = unit.head; alone && head < unit.heads_end; ++head) append_value(row, head);
      for (std::int64_t head = unit.head, i = 0; head < unit.heads_end; ++head, ++i)
        sums[i] = score(row, head, seen(row, head), query, scores + i * context);
      for (std::int64_t head = unit.head, i = 0; head < unit.heads_end; ++head, ++i)
        weigh(row, head, seen(row, head), scores + i * context, sums[i]);
    }
  }
};

// Whether no two rows are of one slot.
bool apart(Backend& backend, const Backend::CachedAttention& op) {
  const Scratch<std::int8_t> taken(backend, op.keys.shape[0]);
  std::fill_n(taken.data(), op.keys.shape[0], std::int8_t{0});
  for (std::int64_t row = 0; row < op.q.shape[0]; ++row)
    if (taken.data()[op.slots.as<std::int32_t>()[row]]++ > 0) return false;
  return true;
}

template <class T>
void cached_attention(Backend& backend, const Backend::CachedAttention& op) {
  const bool alone = op.q.shape[1] == op.k.shape[1] && apart(backend, op);
  const CachedHeads<T> work{op, op.q.shape[1], op.k.shape[1], op.q.shape[2], alone};
  const std::int64_t rows = op.q.shape[0], heads = work.heads, threads = omp_get_max_threads();
  const std::int64_t reals = kHeads * op.keys.shape[2] + (work.d + kLanes - 1) / kLanes * kLanes;
  const Scratch<Real<T>> memory(backend, reals * threads);
  // Rows of one slot find a head's keys in the cache one after the other; else a row's heads go together.
  const std::int64_t height = alone ? 1 : std::clamp<std::int64_t>(rows / 8, 1, 16);
  const std::int64_t width =
      alone ? std::clamp<std::int64_t>(rows * heads / (8 * threads), 1, std::min(heads, kHeads)) : 1;
  const std::int64_t across = (heads + width - 1) / width, units = (rows + height - 1) / height * across;
#pragma omp parallel if (rows * heads > 1)
  {
    if (!alone) {
#pragma omp for schedule(static)
      for (std::int64_t i = 0; i < rows * work.groups; ++i) {
        work.append_key(i / work.groups, i % work.groups);
        work.append_value(i / work.groups, i % work.groups);
      }
    }
#pragma omp for schedule(dynamic)
    for (std::int64_t i = 0; i < units; ++i) {
      const std::int64_t row = i / across * height, head = i % across * width;
      work.attend({row, std::min(rows, row + height), head, std::min(heads, head + width)},
                  memory.data() + reals * omp_get_thread_num());
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
