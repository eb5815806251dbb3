// What attention forward and backward share: the block grid, which keys a query sees, and dense copies of the heads.
//
// Queries and keys are cut on one grid of 64 tokens; products run on two grid cells at once where they can. Which
// blocks are computed, and in which order they are added, follows from shapes and mask alone.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/tile_gemm.h"

namespace coxswain::attention_blocks {

inline constexpr std::int64_t kCell = 64;
inline constexpr std::int64_t kWide = 2 * kCell;  // the longer side of a block

struct Extents {
  std::int64_t b = 0, t = 0, a = 0, g = 0, d = 0;
  Extents(const TensorView& q, const TensorView& k)
      : b(q.shape[0]), t(q.shape[1]), a(q.shape[2]), g(k.shape[2]), d(q.shape[3]) {}
  std::int64_t heads_per_group() const { return a / g; }
  std::int64_t kv_head(std::int64_t head) const { return head / heads_per_group(); }
};

struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t count() const { return end - begin; }
  // The part inside [0, width): empty at some place inside if there is none.
  Range within(std::int64_t width) const {
    const std::int64_t first = std::clamp<std::int64_t>(begin, 0, width);
    return {first, std::clamp(end, first, width)};
  }
  // Widened to whole vectors where the row allows it, so that loops have no scalar tails; empty stays empty.
  Range whole_lanes(std::int64_t width) const {
    if (count() == 0) return *this;
    return {begin / kLanes * kLanes, std::min((end + kLanes - 1) / kLanes * kLanes, width)};
  }
};

// The keys that a query of one sequence sees are the range [first_key(query), query].
class Visible {
 public:
  Visible(const AttentionMask& mask, std::int64_t sequence, std::int64_t t)
      : band_(mask.band > 0 ? mask.band : t),
        starts_(mask.document_start.empty() ? nullptr : mask.document_start.as<std::int32_t>() + sequence * t) {}

  std::int64_t first_key(std::int64_t query) const {
    const std::int64_t first = std::max<std::int64_t>(query - band_ + 1, 0);
    return starts_ ? std::max<std::int64_t>(first, starts_[query]) : first;
  }
  // The lowest key that any query of [begin, end) sees.
  std::int64_t first_key(std::int64_t begin, std::int64_t end) const {
    std::int64_t lowest = first_key(begin);
    for (std::int64_t query = begin + 1; query < end && starts_; ++query) lowest = std::min(lowest, first_key(query));
    return lowest;
  }
  std::int64_t band() const { return band_; }
  const std::int32_t* document_starts() const { return starts_; }

 private:
  std::int64_t band_;
  const std::int32_t* starts_;
};

// Dense copies of some [b, t, heads, d] views as [view, b, heads, t, d]. Products on dense heads run up to twice as
// fast as on heads that lie a whole token apart, and every head is read many times.
template <class T>
class DenseHeads {
 public:
  DenseHeads(Backend& backend, const TensorView& view)
      : t_(view.shape[1]), heads_(view.shape[2]), d_(view.shape[3]), values_(backend, view.elements()) {
    // Head by head, so that writing is one stream; the rows read lie far apart and are asked for ahead.
    constexpr std::int64_t kTokens = 64, kRowsAhead = 8;
    const std::int64_t blocks = (t_ + kTokens - 1) / kTokens, items = view.shape[0] * heads_ * blocks;
#pragma omp parallel for schedule(static) if (items * kTokens * d_ >= kParallelElements)
    for (std::int64_t item = 0; item < items; ++item) {
      const std::int64_t sequence = item / blocks / heads_, head = item / blocks % heads_, block = item % blocks;
      const T* from = view.as<T>() + sequence * view.strides[0] + head * view.strides[2];
      T* to = values_.data() + (sequence * heads_ + head) * t_ * d_;
      for (std::int64_t token = block * kTokens; token < std::min(t_, (block + 1) * kTokens); ++token) {
        prefetch_ahead(from + (token + kRowsAhead) * view.strides[1], d_);
        convert_row(from + token * view.strides[1], to + token * d_, d_);
      }
    }
  }
  const T* at(std::int64_t sequence, std::int64_t head, std::int64_t token) const {
    return values_.data() + ((sequence * heads_ + head) * t_ + token) * d_;
  }

 private:
  std::int64_t t_, heads_, d_;
  Scratch<T> values_;
};

// c[m, n] = a[m, k] b[k, n], or c += ; each factor dense in rows, or its transpose is.
enum class Form { plain, b_transposed, a_transposed };

template <class T>
void product(Form form, std::int64_t m, std::int64_t n, std::int64_t k, const T* a, const T* b, Real<T>* c,
             bool accumulate) {
  TileGemmShape shape;
  shape.m = m, shape.n = n, shape.k = k;
  shape.a_row = form == Form::a_transposed ? 1 : k;
  shape.a_column = form == Form::a_transposed ? m : 1;
  shape.b_row = form == Form::b_transposed ? 1 : n;
  shape.b_column = form == Form::b_transposed ? k : 1;
  shape.c_row = n;
  shape.a = shape.b = dtype_of<T>();
  shape.c = dtype_of<Real<T>>();
  shape.accumulate = accumulate;
  TileGemm::get(shape).run(a, b, c);
}

}  // namespace coxswain::attention_blocks
