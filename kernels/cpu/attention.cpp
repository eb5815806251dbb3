// Attention forward in blocks with a running softmax: never a [t, t] matrix (Milakov and Gimelshein, "Online normalizer
// calculation for softmax"; Dao et al., "FlashAttention", algorithm 1).
//
// out_i = sum_j p_ij v_j, p_ij = exp(scale q_i k_j - L_i), L_i = log sum_j exp(scale q_i k_j), over the keys that i
// sees. A work item is one head's block of 64 queries; it runs on one thread, over blocks of up to 128 keys in order.
#include "kernels/cpu/attention.h"

#include <limits>

#include "kernels/cpu/cpu_backend.h"

namespace coxswain {
namespace {

using namespace attention_blocks;

// One thread's memory: scores, weights, running output, maxima and sums of a block of queries.
template <class T>
struct ForwardScratch {
  using R = Real<T>;
  R *scores, *out, *maxima, *sums;
  T* weights;

  static std::int64_t bytes(std::int64_t d) {
    const std::int64_t reals = kCell * (kWide + d + 2);
    return (reals * static_cast<std::int64_t>(sizeof(R)) + kCell * kWide * static_cast<std::int64_t>(sizeof(T)) + 63) /
           64 * 64;
  }
  ForwardScratch(std::byte* memory, std::int64_t d) {
    scores = reinterpret_cast<R*>(memory);
    out = scores + kCell * kWide;
    maxima = out + kCell * d;
    sums = maxima + kCell;
    weights = reinterpret_cast<T*>(sums + kCell);
  }
};

// Turns row `scores` [width] into weights exp(scale * score - maximum), of which `seen` are visible, updates the row's
// running maximum and sum, and rescales what the row has gathered so far.
template <class T, class R>
void softmax_row(R scale, R* scores, std::int64_t width, const Range& seen, T* weights, R& maximum, R& sum, R* out,
                 std::int64_t d) {
  const Range lanes = seen.whole_lanes(width);
  R* values = scores + lanes.begin;
  if (seen.count() > 0) {
    constexpr R kHidden = -std::numeric_limits<R>::infinity();  // a weight of 0
    std::fill(values, scores + seen.begin, kHidden);
    std::fill(scores + seen.end, scores + lanes.end, kHidden);
    const R highest = lane_max<R>(lanes.count(), maximum, [=](std::int64_t j) { return values[j] *= scale; });
    const R rescale = exp_fast(maximum - highest);  // 0 at first: the maximum was minus infinity
    const R added =
        lane_sum<R>(lanes.count(), [=](std::int64_t j) { return values[j] = exp_fast(values[j] - highest); });
    if (rescale != R(1)) {
#pragma omp simd
      for (std::int64_t c = 0; c < d; ++c) out[c] *= rescale;
    }
    sum = multiply_add(sum, rescale, added);
    maximum = highest;
    if (static_cast<void*>(weights) != static_cast<void*>(scores))
      convert_row(values, weights + lanes.begin, lanes.count());
  }
  std::fill_n(weights, lanes.begin, T{});
  std::fill(weights + lanes.end, weights + width, T{});
}

template <class T>
struct Forward {
  using R = Real<T>;
  const Extents& extents;
  const DenseHeads<T>&q, &k, &v;
  const AttentionMask& mask;
  R scale;
  const TensorView &out, &log_sum_exp;

  void run(std::int64_t sequence, std::int64_t head, std::int64_t first, ForwardScratch<T> scratch) const {
    const std::int64_t t = extents.t, d = extents.d, group = extents.kv_head(head);
    const std::int64_t last = std::min(first + kCell, t), count = last - first;
    const Visible visible(mask, sequence, t);
    if constexpr (std::is_same_v<T, R>) scratch.weights = scratch.scores;
    std::fill_n(scratch.out, count * d, R(0));
    std::fill_n(scratch.maxima, count, -std::numeric_limits<R>::infinity());
    std::fill_n(scratch.sums, count, R(0));
    const std::int64_t first_key = visible.first_key(first, last) / kCell * kCell;
    for (std::int64_t key = first_key; key < last; key += kWide) {
      const std::int64_t width = std::min(kWide, last - key);
      product(Form::b_transposed, count, width, d, q.at(sequence, head, first), k.at(sequence, group, key),
              scratch.scores, false);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t query = first + i;
        const Range seen = Range{visible.first_key(query) - key, query + 1 - key}.within(width);
        softmax_row(scale, scratch.scores + i * width, width, seen, scratch.weights + i * width, scratch.maxima[i],
                    scratch.sums[i], scratch.out + i * d, d);
      }
      product(Form::plain, count, d, width, scratch.weights, v.at(sequence, group, key), scratch.out, true);
    }
    finish(sequence, head, first, count, scratch);
  }

 private:
  void finish(std::int64_t sequence, std::int64_t head, std::int64_t first, std::int64_t count,
              const ForwardScratch<T>& scratch) const {
    R* sums = log_sum_exp.as<R>() + (sequence * extents.a + head) * extents.t + first;
    T* rows = out.as<T>() + sequence * out.strides[0] + head * out.strides[2] + first * out.strides[1];
    for (std::int64_t i = 0; i < count; ++i) {
      const R* from = scratch.out + i * extents.d;
      T* to = rows + i * out.strides[1];
      const R inverse = R(1) / scratch.sums[i];
#pragma omp simd
      for (std::int64_t c = 0; c < extents.d; ++c) put(to[c], from[c] * inverse);
      sums[i] = scratch.maxima[i] + std::log(scratch.sums[i]);
    }
  }
};

template <class T>
void forward(Backend& backend, const TensorView& q, const TensorView& k, const TensorView& v, const AttentionMask& mask,
             float scale, const TensorView& out, const TensorView& log_sum_exp) {
  const Extents extents(q, k);
  const DenseHeads<T> dense_q(backend, q), dense_k(backend, k), dense_v(backend, v);
  const Forward<T> work{extents, dense_q, dense_k, dense_v, mask, static_cast<Real<T>>(scale), out, log_sum_exp};
  const std::int64_t blocks = (extents.t + kCell - 1) / kCell, heads = extents.b * extents.a;
  const std::int64_t bytes = ForwardScratch<T>::bytes(extents.d);
  const Scratch<std::byte> memory(backend, bytes * omp_get_max_threads());
  // The longest blocks first, so that the threads finish together.
#pragma omp parallel for schedule(dynamic) if (heads * blocks > 1)
  for (std::int64_t item = 0; item < heads * blocks; ++item) {
    const std::int64_t block = blocks - 1 - item / heads, head = item % heads;
    work.run(head / extents.a, head % extents.a, block * kCell,
             ForwardScratch<T>(memory.data() + bytes * omp_get_thread_num(), extents.d));
  }
}

}  // namespace

void CpuBackend::do_attention(TensorView q, TensorView k, TensorView v, const AttentionMask& mask, float scale,
                              TensorView out, TensorView log_sum_exp) {
  if (q.elements() == 0) return;
  dispatch_type(
      q.dtype, [&](auto tag) { forward<typename decltype(tag)::type>(*this, q, k, v, mask, scale, out, log_sum_exp); });
}

}  // namespace coxswain
