// Products of a linear layer whose rows do not depend on each other: y = activation(x w^T + bias), for one row or many.
//
// An element is one dot product along k in two sums: of the even and of the odd values (bf16: pairs), each added up in
// the order of k, and at last the two. Which elements are computed together in registers is a matter of speed alone:
// bits depend on the row of x, the row of w and k.
//
// A register holds the sums of eight rows of x and one row of w: two values of each of the eight rows, laid side by
// side beforehand, times two values of w, repeated. So nothing is added across a register but at the end of a row, and
// one value of w that is read serves as many rows as there are registers for. For up to four rows of x it is the other
// way round (narrow_tile.h).
//
// w is read as it lies, once for a block of rows of x: a thread goes through its rows of w, and asks for the next ones
// while it multiplies the present ones. For few rows of x that is the rate of the memory, for many the rate of the
// multipliers. A thread that is done with its share goes on with what others have left of theirs.
//
// While weights are held, products of few rows (compressed_rows()) read large ones compressed (compressed_weights.h).
#include <omp.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/row_strips.h"

namespace coxswain {
namespace {

constexpr std::int64_t kBlockBytes = std::int64_t{5} << 17;  // of x: most of a second-level cache

// y = activation(sums + bias) for a block of rows and columns.
template <class T, class Y>
void finish_block(Activation activation, const Real<T>* sums, std::int64_t sum_stride, std::int64_t rows,
                  std::int64_t columns, const Real<T>* bias, Y* y, std::int64_t y_stride) {
  using R = Real<T>;
  dispatch(activation, [&](auto kind) {
    for (std::int64_t i = 0; i < rows; ++i) {
      const R* from = sums + i * sum_stride;
      Y* to = y + i * y_stride;
      if (bias) {
#pragma omp simd
        for (std::int64_t j = 0; j < columns; ++j)
          put(to[j], static_cast<Real<Y>>(apply<kind.value>(from[j] + bias[j])));
      } else {
#pragma omp simd
        for (std::int64_t j = 0; j < columns; ++j) put(to[j], static_cast<Real<Y>>(apply<kind.value>(from[j])));
      }
    }
  });
}

// A product whose columns threads take in turns. Where: y = activation(x w^T + bias).
template <class T, class Y>
struct RowProduct {
  using R = Real<T>;
  TensorView w;
  const R* bias;
  Activation activation;
  Y* y;
  std::int64_t y_stride;

  // What one thread does for the rows [row, row + height) of x, those of the strip.
  template <class AnyStrip>
  void multiply(const AnyStrip& strip, std::int64_t row, std::int64_t height, Turns& turns, int thread) const {
    constexpr std::int64_t kColumns = AnyStrip::kColumns;
    alignas(64) R sums[kTallestBlock * kPanel];
    Turns::Run run = turns.take(thread), next;
    strip.lines(run, 0).ask_for_all();
    for (; run.count > 0; run = next) {
      next = turns.take(thread);
      const std::int64_t first = kColumns * run.first, width = std::min(w.shape[0] - first, kColumns * run.count);
      // Lines of y, which other threads may have had last, are on their way while the sums are made.
      for (std::int64_t i = 0; i < height; ++i) prefetch_ahead(y + (row + i) * y_stride + first, width);
      for (std::int64_t i = 0; i < run.count; ++i) {
        const Ahead later = i + 1 < run.count ? strip.lines({run.first + i + 1, 1}, kLead) : strip.lines(next, kLead);
        strip.multiply(first + kColumns * i, std::min(kColumns, width - kColumns * i), later, sums + kColumns * i,
                       width);
      }
      finish_block<T>(activation, sums, width, height, width, bias ? bias + first : nullptr, y + row * y_stride + first,
                      y_stride);
    }
  }
};

template <class AnyStrip>
Turns turns_of(std::int64_t columns) {
  constexpr std::int64_t kColumns = AnyStrip::kColumns;
  return Turns((columns + kColumns - 1) / kColumns, omp_get_max_threads(), kPanel / kColumns);
}

// One block of rows of x: `strip_of(thread)` has them.
template <class StripOf, class T, class Y>
void multiply_at_once(const StripOf& strip_of, std::int64_t rows, const RowProduct<T, Y>& product) {
  Turns turns = turns_of<std::decay_t<decltype(strip_of(0))>>(product.w.shape[0]);
#pragma omp parallel if (rows * product.w.elements() >= 64 * kParallelElements)
  {
    const int thread = omp_get_thread_num();
    product.multiply(strip_of(thread), 0, rows, turns, thread);
  }
}

template <int X, class T, class Y>
void compressed_loose_rows(const TensorView& x, const CompressedWeights& weights, const RowProduct<T, Y>& product) {
  const T* rows[X];
  for (std::int64_t i = 0; i < X; ++i) rows[i] = x.as<T>() + std::min(i, x.shape[0] - 1) * x.strides[0];
  const CompressedColumns<T, X, LooseRows<T>> columns({rows}, x.shape[0], weights);
  multiply_at_once([&](int) { return columns; }, x.shape[0], product);
}

template <class T, class Y>
void compressed_rows(Backend& backend, const TensorView& x, const CompressedWeights& weights,
                     const RowProduct<T, Y>& product) {
  const std::int64_t m = x.shape[0], k = x.shape[1];
  if (m == 1) return compressed_loose_rows<1>(x, weights, product);
  if (m == 2) return compressed_loose_rows<2>(x, weights, product);
  if (m <= kFew) return compressed_loose_rows<kFew>(x, weights, product);
  const std::int64_t packed = PackedRows<T>::elements(m, k);
  const Scratch<T> memory(backend, packed * omp_get_max_threads());
  const auto columns_of = [&](int thread) {  // each thread has the rows in its own cache
    T* own = memory.data() + packed * thread;
    PackedRows<T>(own).pack(x.as<T>(), x.strides[0], m, k);
    return CompressedColumns<T, kRows, RowsSideBySide<T>>({own}, m, weights);
  };
  multiply_at_once(columns_of, m, product);
}

template <class T, class Y>
void many_rows(Backend& backend, const TensorView& x, const RowProduct<T, Y>& product) {
  const std::int64_t m = x.shape[0], n = product.w.shape[0], k = x.shape[1];
  const std::int64_t fits = kBlockBytes / std::max<std::int64_t>(1, k * static_cast<std::int64_t>(sizeof(T)));
  const std::int64_t block = std::clamp(fits / kTileRows * kTileRows, kTileRows, kTallestBlock);
  const std::int64_t packed = PackedRows<T>::elements(std::min(m, block), k);
  const Scratch<T> memory(backend, packed * omp_get_max_threads());
  std::vector<Turns> turns;
  for (std::int64_t row = 0; row < m; row += block) turns.push_back(turns_of<Strip<T>>(n));
#pragma omp parallel if (m * n * k >= 64 * kParallelElements)
  {
    const int thread = omp_get_thread_num();
    PackedRows<T> rows(memory.data() + packed * thread);
    for (std::int64_t row = 0; row < m; row += block) {
      rows.pack(x.as<T>() + row * x.strides[0], x.strides[0], std::min(block, m - row), k);
      product.multiply(Strip<T>(rows, product.w), row, rows.rows(), turns[row / block], thread);
    }
  }
}

template <class T, class Y>
void row_linear(Backend& backend, const TensorView& x, const TensorView& w, const CompressedWeights* compressed,
                const TensorView& bias, Activation activation, const TensorView& y) {
  const RealVector<Real<T>> shift(backend, bias);
  const RowProduct<T, Y> product{w, shift.data(), activation, y.as<Y>(), y.strides[0]};
  if constexpr (!std::is_same_v<T, double>)
    if (compressed != nullptr) return compressed_rows(backend, x, *compressed, product);
  if (x.shape[0] > kFew) return many_rows(backend, x, product);
  const NarrowStrip<T> strip(x, w);
  multiply_at_once([&](int) -> const NarrowStrip<T>& { return strip; }, x.shape[0], product);
}

}  // namespace

void CpuBackend::do_linear_rows(TensorView x, TensorView w, TensorView bias, Activation activation, TensorView y) {
  if (y.elements() == 0) return;
  const CompressedWeights* compressed = compressed_for(x.shape[0], w);
  dispatch_type(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (y.dtype == x.dtype) return row_linear<T, T>(*this, x, w, compressed, bias, activation, y);
    row_linear<T, Real<T>>(*this, x, w, compressed, bias, activation, y);
  });
}

}  // namespace coxswain
