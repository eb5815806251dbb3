// Attention backward in blocks: the weights are computed again from log_sum_exp (Dao, "FlashAttention-2", algorithm 2).
//
// With P = exp(scale Q K^T - L), delta_i = sum_c dout_ic out_ic, dP = dout V^T and dS = scale P (dP - delta):
// dV = P^T dout, dK = dS^T Q, dQ = dS K. A block is 64 keys by up to 128 queries and is computed transposed, since two
// of the three results need the transpose.
//
// Orders of summation: dK and dV of a key over the group's query heads, then over query blocks; dQ of a query over key
// blocks. With enough sequences and heads a thread does one key/value head from start to end; else one pass over the
// key blocks makes dK and dV and another over the query blocks makes dQ (7 products for 5), in the same orders from the
// same blocks: the bits are equal, so that the choice may follow the number of threads.
#include "kernels/cpu/attention.h"
#include "kernels/cpu/cpu_backend.h"

namespace coxswain {
namespace {

using namespace attention_blocks;

// One thread's memory.
template <class T>
struct GradientScratch {
  using R = Real<T>;
  R *scores, *slopes, *dq, *dk, *dv;  // [64, 128] twice, and running sums of `queries` and `keys` rows
  T *weights, *dscores;               // what enters the products: the same memory as scores and slopes, or rounded

  static std::int64_t bytes(std::int64_t queries, std::int64_t keys, std::int64_t d) {
    const std::int64_t reals = 2 * kCell * kWide + (queries + 2 * keys) * d;
    const std::int64_t rounded = 2 * kCell * kWide;
    return (reals * static_cast<std::int64_t>(sizeof(R)) + rounded * static_cast<std::int64_t>(sizeof(T)) + 63) / 64 *
           64;
  }
  GradientScratch(std::byte* memory, std::int64_t queries, std::int64_t keys, std::int64_t d) {
    scores = reinterpret_cast<R*>(memory);
    slopes = scores + kCell * kWide;
    dq = slopes + kCell * kWide;
    dk = dq + queries * d;
    dv = dk + keys * d;
    weights = reinterpret_cast<T*>(dv + keys * d);
    if constexpr (std::is_same_v<T, R>) weights = scores;
    dscores = weights + kCell * kWide;
    if constexpr (std::is_same_v<T, R>) dscores = slopes;
  }
};

// One key's row of a block: scores -> weights, slopes (dP) -> dscores, for the queries that see the key; 0 elsewhere.
template <class T, class R>
struct GradientRow {
  R scale;
  std::int64_t width;            // queries of the block
  const R *log_sum_exp, *delta;  // theirs
  const std::int32_t* starts;    // first keys of their documents, or null

  // `seen`: the queries that see the key, but for document borders.
  void run(std::int64_t key, const Range& seen, R* scores, R* slopes, T* weights, T* dscores) const {
    const Range lanes = seen.whole_lanes(width);
    const auto each = [=, row = *this](const auto& sees) {
#pragma omp simd
      for (std::int64_t i = lanes.begin; i < lanes.end; ++i) {
        const R exponential = exp_fast(multiply_add(scores[i], row.scale, -row.log_sum_exp[i]));
        const R weight = sees(i) ? exponential : R(0);
        const R dscore = weight * (slopes[i] - row.delta[i]) * row.scale;
        scores[i] = weight;
        slopes[i] = dscore;
      }
    };
    if (starts) {
      each([first = starts, key](std::int64_t i) { return first[i] <= key; });
    } else {
      each([](std::int64_t) { return true; });
    }
    if constexpr (!std::is_same_v<T, R>) {
      convert_row(scores + lanes.begin, weights + lanes.begin, lanes.count());
      convert_row(slopes + lanes.begin, dscores + lanes.begin, lanes.count());
    }
    for (T* values : {weights, dscores}) {
      std::fill_n(values, seen.begin, T{});
      std::fill(values + seen.end, values + width, T{});
    }
  }
};

template <class T>
class Gradient {
 public:
  using R = Real<T>;
  Gradient(Backend& backend, const Backend::AttentionGradient& op)
      : backend_(backend),
        op_(op),
        extents_(op.q, op.k),
        q_(backend, op.q),
        k_(backend, op.k),
        v_(backend, op.v),
        dout_(backend, op.dout),
        delta_(backend, extents_.b * extents_.a * extents_.t) {}

  void run() {
    fill_delta();
    const std::int64_t items = extents_.b * extents_.g, threads = omp_get_max_threads();
    if (items >= 2 * threads || items % threads == 0) return by_heads();
    by_keys();
    by_queries();
  }

 private:
  std::int64_t cells() const { return (extents_.t + kCell - 1) / kCell; }
  std::int64_t wides() const { return (extents_.t + kWide - 1) / kWide; }
  Range keys(std::int64_t cell) const { return {cell * kCell, std::min((cell + 1) * kCell, extents_.t)}; }

  void fill_delta() {
    const std::int64_t t = extents_.t, d = extents_.d, tokens = extents_.b * t;
    const auto row_of = [t](const TensorView& view, std::int64_t token) {
      return view.as<T>() + token / t * view.strides[0] + token % t * view.strides[1];
    };
#pragma omp parallel for schedule(static) if (tokens * extents_.a * d >= kParallelElements)
    for (std::int64_t token = 0; token < tokens; ++token)
      for (std::int64_t head = 0; head < extents_.a; ++head) {
        const T* values = row_of(op_.out, token) + head * op_.out.strides[2];
        const T* slopes = row_of(op_.dout, token) + head * op_.dout.strides[2];
        delta_.data()[(token / t * extents_.a + head) * t + token % t] =
            lane_sum<R>(d, [=](std::int64_t c) { return load(values[c]) * load(slopes[c]); });
      }
  }

  // The queries of wide block `wide` that may see a key of cell `cell`, on the grid of cells; empty if none does.
  Range queries(const Visible& visible, std::int64_t wide, const Range& keys) const {
    Range range{std::max(wide * kWide, keys.begin), std::min((wide + 1) * kWide, extents_.t)};
    const std::int64_t beyond = keys.end - 1 + visible.band();
    range.end = std::min(range.end, (beyond + kCell - 1) / kCell * kCell);
    if (range.begin >= range.end || visible.first_key(range.begin, range.end) >= keys.end) return {};
    return range;
  }

  // weights and dscores [keys, queries] of one block.
  void block(const Visible& visible, std::int64_t sequence, std::int64_t head, const Range& keys, const Range& queries,
             const GradientScratch<T>& scratch) const {
    const std::int64_t group = extents_.kv_head(head), width = queries.count();
    const std::int64_t first = (sequence * extents_.a + head) * extents_.t;
    const T* q = q_.at(sequence, head, queries.begin);
    const T* dout = dout_.at(sequence, head, queries.begin);
    product(Form::b_transposed, keys.count(), width, extents_.d, k_.at(sequence, group, keys.begin), q, scratch.scores,
            false);
    product(Form::b_transposed, keys.count(), width, extents_.d, v_.at(sequence, group, keys.begin), dout,
            scratch.slopes, false);
    const GradientRow<T, R> row{static_cast<R>(op_.scale), width, op_.log_sum_exp.as<R>() + first + queries.begin,
                                delta_.data() + first + queries.begin,
                                visible.document_starts() ? visible.document_starts() + queries.begin : nullptr};
    for (std::int64_t key = keys.begin; key < keys.end; ++key) {
      const Range seen = Range{key - queries.begin, key + visible.band() - queries.begin}.within(width);
      const std::int64_t offset = (key - keys.begin) * width;
      row.run(key, seen, scratch.scores + offset, scratch.slopes + offset, scratch.weights + offset,
              scratch.dscores + offset);
    }
  }
  void add_keys(std::int64_t sequence, std::int64_t head, const Range& keys, const Range& queries,
                const GradientScratch<T>& scratch, R* dk, R* dv) const {
    product(Form::plain, keys.count(), extents_.d, queries.count(), scratch.weights,
            dout_.at(sequence, head, queries.begin), dv, true);
    product(Form::plain, keys.count(), extents_.d, queries.count(), scratch.dscores,
            q_.at(sequence, head, queries.begin), dk, true);
  }
  void add_queries(std::int64_t sequence, std::int64_t head, const Range& keys, const Range& queries,
                   const GradientScratch<T>& scratch, R* dq) const {
    product(Form::a_transposed, queries.count(), extents_.d, keys.count(), scratch.dscores,
            k_.at(sequence, extents_.kv_head(head), keys.begin), dq, true);
  }
  void write(const R* from, const TensorView& to, std::int64_t sequence, std::int64_t head, const Range& tokens) const {
    T* rows = to.as<T>() + sequence * to.strides[0] + head * to.strides[2];
    for (std::int64_t token = tokens.begin; token < tokens.end; ++token)
      convert_row(from + (token - tokens.begin) * extents_.d, rows + token * to.strides[1], extents_.d);
  }

  // work(item, scratch) for all items, on as many threads as there are.
  template <class Work>
  void over_items(std::int64_t items, std::int64_t queries, std::int64_t keys, const Work& work) {
    const std::int64_t bytes = GradientScratch<T>::bytes(queries, keys, extents_.d);
    const Scratch<std::byte> memory(backend_, bytes * omp_get_max_threads());
#pragma omp parallel for schedule(dynamic) if (items > 1)
    for (std::int64_t item = 0; item < items; ++item)
      work(item, GradientScratch<T>(memory.data() + bytes * omp_get_thread_num(), queries, keys, extents_.d));
  }

  void by_heads() {
    const std::int64_t t = extents_.t, d = extents_.d, per_group = extents_.heads_per_group();
    over_items(extents_.b * extents_.g, t, t, [&](std::int64_t item, const GradientScratch<T>& scratch) {
      const std::int64_t sequence = item / extents_.g, group = item % extents_.g;
      const Visible visible(op_.mask, sequence, t);
      std::fill_n(scratch.dk, 2 * t * d, R(0));  // and dv
      for (std::int64_t head = group * per_group; head < (group + 1) * per_group; ++head) {
        std::fill_n(scratch.dq, t * d, R(0));
        for (std::int64_t cell = 0; cell < cells(); ++cell) {
          const Range key_range = keys(cell);
          for (std::int64_t wide = key_range.begin / kWide; wide < wides(); ++wide) {
            const Range query_range = queries(visible, wide, key_range);
            if (query_range.count() == 0) continue;
            block(visible, sequence, head, key_range, query_range, scratch);
            add_keys(sequence, head, key_range, query_range, scratch, scratch.dk + key_range.begin * d,
                     scratch.dv + key_range.begin * d);
            add_queries(sequence, head, key_range, query_range, scratch, scratch.dq + query_range.begin * d);
          }
        }
        write(scratch.dq, op_.dq, sequence, head, {0, t});
      }
      write(scratch.dk, op_.dk, sequence, group, {0, t});
      write(scratch.dv, op_.dv, sequence, group, {0, t});
    });
  }

  void by_keys() {
    const std::int64_t d = extents_.d, kv_heads = extents_.b * extents_.g, per_group = extents_.heads_per_group();
    over_items(kv_heads * cells(), 0, kCell, [&](std::int64_t item, const GradientScratch<T>& scratch) {
      const std::int64_t sequence = item % kv_heads / extents_.g, group = item % extents_.g;
      const Visible visible(op_.mask, sequence, extents_.t);
      const Range key_range = keys(item / kv_heads);
      std::fill_n(scratch.dk, 2 * kCell * d, R(0));  // and dv
      for (std::int64_t head = group * per_group; head < (group + 1) * per_group; ++head)
        for (std::int64_t wide = key_range.begin / kWide; wide < wides(); ++wide) {
          const Range query_range = queries(visible, wide, key_range);
          if (query_range.count() == 0) continue;
          block(visible, sequence, head, key_range, query_range, scratch);
          add_keys(sequence, head, key_range, query_range, scratch, scratch.dk, scratch.dv);
        }
      write(scratch.dk, op_.dk, sequence, group, key_range);
      write(scratch.dv, op_.dv, sequence, group, key_range);
    });
  }

  void by_queries() {
    const std::int64_t d = extents_.d, heads = extents_.b * extents_.a;
    over_items(heads * wides(), kWide, 0, [&](std::int64_t item, const GradientScratch<T>& scratch) {
      const std::int64_t sequence = item % heads / extents_.a, head = item % extents_.a;
      const std::int64_t wide = wides() - 1 - item / heads;  // the longest first
      const Visible visible(op_.mask, sequence, extents_.t);
      const Range all{wide * kWide, std::min((wide + 1) * kWide, extents_.t)};
      std::fill_n(scratch.dq, kWide * d, R(0));
      for (std::int64_t cell = 0; cell * kCell < all.end; ++cell) {
        const Range key_range = keys(cell);
        const Range query_range = queries(visible, wide, key_range);
        if (query_range.count() == 0) continue;
        block(visible, sequence, head, key_range, query_range, scratch);
        add_queries(sequence, head, key_range, query_range, scratch, scratch.dq + (query_range.begin - all.begin) * d);
      }
      write(scratch.dq, op_.dq, sequence, head, all);
    });
  }

  Backend& backend_;
  const Backend::AttentionGradient& op_;
  Extents extents_;
  DenseHeads<T> q_, k_, v_, dout_;
  Scratch<R> delta_;
};

}  // namespace

void CpuBackend::do_attention_gradient(const AttentionGradient& op) {
  if (op.q.elements() == 0) return;
  dispatch_type(op.q.dtype, [&](auto tag) { Gradient<typename decltype(tag)::type>(*this, op).run(); });
}

}  // namespace coxswain
