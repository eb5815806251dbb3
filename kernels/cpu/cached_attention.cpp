// Attention of single rows to what is cached of their texts: out = sum_j p_j v_j, p = softmax(scale q k_j) over the
// keys j that the row's position sees. Scores of all keys first, then maximum, sum and weighted values in the order of
// keys.
//
// Keys and values lie as [context, d]: what a row sees of a head is one run of each, and nothing else is read. A key's
// products are added up in the lanes of a register, and the lanes of sixteen keys' registers together at last. A work
// item is one head of one row: its order is its own.
//
// Keys and values come from memory once, at its rate if something is always asked for: with every key the value of the
// same place, with every value the key of that place of the head that the thread comes to next.
#include <omp.h>

#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/dot_step.h"
#include "kernels/cpu/turns.h"

namespace coxswain {
namespace {

constexpr std::int64_t kPair = 2 * kLanes, kColumns = 64;  // of a key or a value at once
constexpr int kPairs = kColumns / kPair;
constexpr int kTogether = 4;  // keys whose sums are in registers

// `D`: the size of a head where loops are made for it, else 0.
template <class T, std::int64_t D>
struct CachedHeads {
  using R = Real<T>;
  using Step = DotStep<T>;
  static constexpr std::int64_t kWidth = Step::kRows * Step::kWidth;  // values in a register
  static constexpr int kSteps = kColumns / kWidth;
  static constexpr bool kWhole = D > 0 && D % kColumns == 0;  // no columns are left behind the last kColumns

  const Backend::CachedAttention& op;
  std::int64_t heads = op.q.shape[1], groups = op.k.shape[1];

  COXSWAIN_INLINE std::int64_t size() const { return D > 0 ? D : op.q.shape[2]; }
  std::int64_t slot(std::int64_t row) const { return op.slots.as<std::int32_t>()[row]; }
  std::int64_t position(std::int64_t row) const { return op.positions.as<std::int32_t>()[row]; }
  static T* head_of(const TensorView& view, std::int64_t row, std::int64_t head) {
    return view.as<T>() + row * view.strides[0] + head * view.strides[1];
  }

  void append(std::int64_t row, std::int64_t group) const {
    const std::int64_t at = position(row) * size();
    std::copy_n(head_of(op.k, row, group), size(), head_of(op.keys, slot(row), group) + at);
    std::copy_n(head_of(op.v, row, group), size(), head_of(op.values, slot(row), group) + at);
  }

  // Keys or values that follow each other, [count, d].
  struct Run {
    const T* rows = nullptr;
    std::int64_t count = 0;
  };
  // Those of the cache that a row sees.
  Run seen(const TensorView& cache, std::int64_t row, std::int64_t head) const {
    const std::int64_t end = position(row) + 1, first = op.band > 0 ? std::max<std::int64_t>(end - op.band, 0) : 0;
    return {head_of(cache, slot(row), head / (heads / groups)) + first * size(), end - first};
  }

  // Asks for kColumns columns of a row, if there is such a row; some may lie beyond its end.
  COXSWAIN_INLINE void ask(const Run& run, std::int64_t row, std::int64_t column) const {
    if (row >= run.count) return;
    constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
    const T* from = run.rows + row * size() + column;
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < kColumns; i += kLine) __builtin_prefetch(from + i);
  }

  // sums[i] += query x key first + i in the columns [c, c + columns), columns at most kColumns (`whole`), for kTogether
  // keys; the last one's again where there are no more of them (not `all`).
  template <bool whole, bool all>
  COXSWAIN_INLINE void dot_columns(const T* query, const Run& keys, std::int64_t first, std::int64_t c,
                                   std::int64_t columns, const Run& next, Lanes<R>* sums) const {
    typename Step::Values some[kSteps];
#pragma GCC unroll 4
    for (int s = 0; s < kSteps; ++s)
      some[s] = Step::load(query + c + s * kWidth, whole ? kWidth : columns - s * kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < kTogether; ++i) {
      ask(next, first + i, c);
      const T* key = keys.rows + (all ? first + i : std::min(first + i, keys.count - 1)) * size() + c;
#pragma GCC unroll 4
      for (int s = 0; s < kSteps; ++s)
        if (whole || s * kWidth < columns)
          sums[i] =
              Step::multiply_add(Step::load(key + s * kWidth, whole ? kWidth : columns - s * kWidth), some[s], sums[i]);
    }
  }
  // scores[i] = scale q k_i of sixteen keys from `first`.
  template <bool all>
  void score_keys(const T* query, const Run& keys, std::int64_t first, const Run& next, R* scores) const {
    Lanes<R> sums[kLanes];
#pragma GCC unroll 1
    for (int i = 0; i < kLanes; i += kTogether) {
      Lanes<R> some[kTogether];
      for (Lanes<R>& sum : some) sum = all_lanes(R(0));
      std::int64_t c = 0;
      for (; c + kColumns <= size(); c += kColumns)
        dot_columns<true, all>(query, keys, first + i, c, kColumns, next, some);
      if constexpr (!kWhole)
        if (c < size()) dot_columns<false, all>(query, keys, first + i, c, size() - c, next, some);
      for (int j = 0; j < kTogether; ++j) sums[i + j] = some[j];
    }
    const Lanes<R> zeros = all_lanes(R(0)), scale = all_lanes(static_cast<R>(op.scale));
    store_lanes(multiply_add(sums_of_sixteen(sums), scale, zeros), scores);
  }
  // scores[j] = exp(scale q k_j - the greatest of them); returns their sum.
  R score(const T* query, const Run& keys, const Run& next, R* scores) const {
    std::int64_t j = 0;
    for (; j + kLanes <= keys.count; j += kLanes) score_keys<true>(query, keys, j, next, scores + j);
    if (j < keys.count) score_keys<false>(query, keys, j, next, scores + j);
    const R highest =
        lane_max<R>(keys.count, -std::numeric_limits<R>::infinity(), [=](std::int64_t i) { return scores[i]; });
    return lane_sum<R>(keys.count, [=](std::int64_t i) { return scores[i] = exp_fast(scores[i] - highest); });
  }

  // out[c ... c + columns) = sum_j weights[j] values[j], columns at most kColumns (`whole`): even and odd keys apart,
  // so that additions overlap.
  template <bool whole>
  void weigh_columns(const R* weights, const Run& values, std::int64_t c, std::int64_t columns, const Run& next,
                     R inverse, T* out) const {
    LanePair<T> even[kPairs], odd[kPairs];
    for (LanePair<T>& sum : even) sum = {all_lanes(R(0)), all_lanes(R(0))};
    for (LanePair<T>& sum : odd) sum = {all_lanes(R(0)), all_lanes(R(0))};
    const auto add_row = [&](LanePair<T> * sums, std::int64_t j) __attribute__((always_inline)) {
      const Lanes<R> factor = all_lanes(weights[j]);
      const T* row = values.rows + j * size() + c;
      ask(next, j, c);
#pragma GCC unroll 2
      for (int i = 0; i < kPairs; ++i)
        if (whole || i * kPair < columns)
          sums[i] = multiply_add(factor, load_pair(row + i * kPair, whole ? kPair : columns - i * kPair), sums[i]);
    };
    std::int64_t j = 0;
    for (; j + 2 <= values.count; j += 2) {
      add_row(even, j);
      add_row(odd, j + 1);
    }
    if (j < values.count) add_row(even, j);
    alignas(64) R results[kColumns];
#pragma GCC unroll 2
    for (int i = 0; i < kPairs; ++i) store_pair(add(even[i], odd[i]), results + i * kPair);
    for (std::int64_t i = 0; i < columns; ++i) put(out[c + i], results[i] * inverse);
  }

  // `next`: the keys that will be wanted after this. `scores` holds sixteen more than there are keys.
  void attend(std::int64_t row, std::int64_t head, const Run& next, R* scores) const {
    const Run values = seen(op.values, row, head);
    const R inverse = R(1) / score(head_of(op.q, row, head), seen(op.keys, row, head), values, scores);
    T* out = head_of(op.out, row, head);
    std::int64_t c = 0;
    for (; c + kColumns <= size(); c += kColumns) weigh_columns<true>(scores, values, c, kColumns, next, inverse, out);
    if constexpr (!kWhole)
      if (c < size()) weigh_columns<false>(scores, values, c, size() - c, next, inverse, out);
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

// One head of one row, in the order in which they are shared out. Rows of slots of their own (`alone`) read what nobody
// else reads: a row's heads go together, and each item appends its own key and value. Else all are appended before, and
// a head's rows go together, which find its keys in the cache.
struct Item {
  std::int64_t row, head;
};

template <class T, std::int64_t D>
void cached_attention(Backend& backend, const Backend::CachedAttention& op) {
  using R = Real<T>;
  using Work = CachedHeads<T, D>;
  const Work work{op};
  const bool alone = work.heads == work.groups && apart(backend, op);
  const std::int64_t rows = op.q.shape[0], heads = work.heads, reals = op.keys.shape[2] + kLanes;
  const int threads = omp_get_max_threads();
  const Scratch<R> memory(backend, reals * threads);
  Turns turns(rows * heads, threads, heads);
  const auto item = [=](std::int64_t i) { return alone ? Item{i / heads, i % heads} : Item{i % rows, i / rows}; };
#pragma omp parallel if (rows * heads > 1)
  {
    const int thread = omp_get_thread_num();
    R* scores = memory.data() + reals * thread;
    if (!alone) {
#pragma omp for schedule(static)
      for (std::int64_t i = 0; i < rows * work.groups; ++i) work.append(i / work.groups, i % work.groups);
    }
    Turns::Run run = turns.take(thread), next;
    for (; run.count > 0; run = next) {
      next = turns.take(thread);
      for (std::int64_t i = run.first, last = i + run.count - 1; i <= last; ++i) {
        const auto [row, head] = item(i);
        typename Work::Run then;
        if (i < last || next.count > 0) {
          const Item after = item(i < last ? i + 1 : next.first);
          then = work.seen(op.keys, after.row, after.head);
        }
        if (alone) work.append(row, head);
        work.attend(row, head, then, scores);
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
  dispatch_type(op.q.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (op.q.shape[2] == 64) return coxswain::cached_attention<T, 64>(*this, op);
    if (op.q.shape[2] == 128) return coxswain::cached_attention<T, 128>(*this, op);
    coxswain::cached_attention<T, 0>(*this, op);
  });
}

}  // namespace coxswain
