// Products of a linear layer whose rows do not depend on each other: y = activation(x w^T + bias), for one row or many.
//
// An element is one dot product along k in two sums: of the even and of the odd values (bf16: pairs), each added up in
// the order of k, and at last the two. Which elements are computed together in registers is a matter of speed alone:
// bits depend on the row of x, the row of w and k.
//
// A register holds the sums of eight rows of x and one row of w: two values of each of the eight rows, laid side by
// side beforehand, times two values of w, repeated. So nothing is added across a register but at the end of a row, and
// one value of w that is read serves up to sixteen rows. For up to four rows of x it is the other way round
// (narrow_tile.h).
//
// w is read as it lies, once for a block of rows of x: a thread goes through its rows of w, and asks for the next ones
// while it multiplies the present ones. For few rows of x that is the rate of the memory, for many the rate of the
// multipliers. A thread that is done with its share goes on with what others have left of theirs.
#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/narrow_tile.h"
#include "kernels/cpu/turns.h"

namespace coxswain {
namespace {

constexpr std::int64_t kBlockBytes = std::int64_t{5} << 17;  // of x: most of a second-level cache
constexpr std::int64_t kRows = kLanes / 2;                   // of x in a register
constexpr std::int64_t kWeights = 8, kMostRegisters = 2;     // a tile: rows of w, registers of rows of x
constexpr std::int64_t kLead = 144;                          // lines that are asked for earlier than a tile ahead
constexpr std::int64_t kFew = 4;                             // rows of x: multiplied as they lie
constexpr std::int64_t kTileRows = kMostRegisters * kRows, kTallestBlock = 6 * kTileRows, kPanel = 8 * kWeights;

// Some rows of x in the order in which tiles read them: [tile][step of k][register][8 rows][the step's width], zeros
// behind k, the last row again for missing ones. A tile has two registers; the last one has one if that is enough.
template <class T>
class PackedRows {
 public:
  static constexpr std::int64_t kWidth = DotStep<T>::kWidth;
  static std::int64_t elements(std::int64_t rows, std::int64_t k) {
    return (rows + kRows - 1) / kRows * kRows * ((k + kWidth - 1) / kWidth * kWidth);
  }

  explicit PackedRows(T* memory) : memory_(memory) {}
  void pack(const T* x, std::int64_t x_stride, std::int64_t rows, std::int64_t k) {
    rows_ = rows, width_ = elements(1, k) / kRows;
    for (std::int64_t row = 0; row < rows; row += kRows) {
      const std::int64_t first = row / kTileRows * kTileRows, step = registers(first) * kRows * kWidth;
      T* to = memory_ + first * width_ + (row - first) * kWidth;
      const T* from[kRows];
      for (std::int64_t r = 0; r < kRows; ++r) from[r] = x + std::min(row + r, rows - 1) * x_stride;
      std::int64_t at = 0;
      for (; at + kWidth <= k; at += kWidth, to += step) {
#pragma GCC unroll 8
        for (std::int64_t r = 0; r < kRows; ++r) std::memcpy(to + r * kWidth, from[r] + at, kWidth * sizeof(T));
      }
      for (std::int64_t r = 0; at < k && r < kRows; ++r) {
        std::fill_n(to + r * kWidth, kWidth, T(0));
        std::copy_n(from[r] + at, k - at, to + r * kWidth);
      }
    }
  }
  std::int64_t rows() const { return rows_; }
  // Of the tile that begins with row `first`.
  std::int64_t registers(std::int64_t first) const { return rows_ - first > kRows ? kMostRegisters : 1; }
  const T* tile(std::int64_t first) const { return memory_ + first * width_; }

 private:
  T* memory_;
  std::int64_t rows_ = 0, width_ = 0;
};

// sums[i][j] = x_i w_j for a tile of M registers of packed rows of x and N rows of w.
template <int M, int N, class T>
[[gnu::noinline]] void dot_tile(const T* x, const T* w, std::int64_t w_stride, std::int64_t k, Ahead ahead,
                                Real<T>* sums, std::int64_t sum_stride) {
  using R = Real<T>;
  using Step = DotStep<T>;
  Lanes<R> lanes[M * N];
  for (Lanes<R>& sum : lanes) sum = all_lanes(R(0));
  const auto step = [&](const T* packed, const T* weights, std::int64_t stride) __attribute__((always_inline)) {
    typename Step::Values rows[M];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) rows[i] = Step::load(packed + i * kRows * Step::kWidth);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      typename Step::Values weight = Step::repeat(weights + j * stride);
      Step::hold(weight);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) lanes[i * N + j] = Step::multiply_add(rows[i], weight, lanes[i * N + j]);
    }
  };
  const std::int64_t steps = k / Step::kBlock * 4;
  if (k % Step::kBlock > 0)
      [[unlikely]] {  // before the others: behind them the compiler would put all sums into memory
    const Tail<N, T> tail(k, [&](int j) { return w + j * w_stride; });
    for (std::int64_t s = 0; s < (k % Step::kBlock + Step::kWidth - 1) / Step::kWidth; ++s)
      step(x + (steps + s) * M * kRows * Step::kWidth, tail.row(0) + s * Step::kWidth, Step::kBlock);
  }
  for (std::int64_t s = 0; s < steps; ++s, x += M * kRows * Step::kWidth, w += Step::kWidth) {
    ahead.ask();
    step(x, w, w_stride);
  }
#pragma GCC unroll 2
  for (int i = 0; i < M; ++i) {
    R* to = sums + i * kRows * sum_stride;
    if constexpr (N % 4 == 0) {
#pragma GCC unroll 2
      for (int j = 0; j < N; j += 4) sums_of_neighbours(lanes + i * N + j, to + j, sum_stride);
    } else {
      for (int j = 0; j < N; ++j) sums_of_neighbours_of(lanes[i * N + j], to + j, sum_stride);
    }
  }
}

// Packed rows of x times a few rows of w.
template <class T>
class Strip {
 public:
  using R = Real<T>;
  Strip(const PackedRows<T>& x, const TensorView& weights)
      : x_(x), w_(weights.as<T>()), w_stride_(weights.strides[0]), k_(weights.shape[1]) {}

  // sums[i][j] for weights [column, column + columns), columns at most a tile's; asks for the lines of a later tile.
  void multiply(std::int64_t column, std::int64_t columns, Ahead later, R* sums, std::int64_t sum_stride) const {
    if (columns == kWeights) return tiles<kWeights>(column, later, sums, sum_stride);
    for (std::int64_t j = 0; j < columns; ++j) tiles<1>(column + j, {}, sums + j, sum_stride);
  }

 private:
  const PackedRows<T>& x_;
  const T* w_;
  std::int64_t w_stride_, k_;

  template <int N>
  void tiles(std::int64_t column, Ahead later, R* sums, std::int64_t sum_stride) const {
    const std::int64_t count = (x_.rows() + kTileRows - 1) / kTileRows;
    later.lines = (later.lines + count - 1) / count;  // each tile of the strip asks for its share
    const auto tile = [&]<int M>(std::int64_t i) {
      dot_tile<M, N>(x_.tile(i), w_ + column * w_stride_, w_stride_, k_, later, sums + i * sum_stride, sum_stride);
      later.next += 64 * later.lines;
    };
    for (std::int64_t i = 0; i < x_.rows(); i += kTileRows)
      x_.registers(i) == 1 ? tile.template operator()<1>(i) : tile.template operator()<kMostRegisters>(i);
  }
};

// The same for up to four rows of x as they lie.
template <class T>
class NarrowStrip {
 public:
  using R = Real<T>;
  NarrowStrip(const TensorView& x, const TensorView& weights)
      : rows_(x.shape[0]), w_(weights.as<T>()), w_stride_(weights.strides[0]), k_(weights.shape[1]) {
    for (std::int64_t i = 0; i < kFew; ++i) x_[i] = x.as<T>() + std::min(i, rows_ - 1) * x.strides[0];
  }

  // As above; `sums` has four rows, however few x has.
  void multiply(std::int64_t column, std::int64_t columns, Ahead later, R* sums, std::int64_t sum_stride) const {
    if (columns == kWeights) return tile(column, w_stride_, later, sums, sum_stride);
    for (std::int64_t j = 0; j < columns; ++j) {  // a row alone: eight times the same
      R same[kFew * kWeights];
      tile(column + j, 0, {}, same, kWeights);
      for (std::int64_t i = 0; i < rows_; ++i) sums[i * sum_stride + j] = same[i * kWeights];
    }
  }

 private:
  const T* x_[kFew];
  std::int64_t rows_;
  const T* w_;
  std::int64_t w_stride_, k_;

  void tile(std::int64_t column, std::int64_t w_stride, Ahead later, R* sums, std::int64_t sum_stride) const {
    const auto rows = [&]<int X>() {
      narrow_tile<X>(x_, w_ + column * w_stride_, w_stride, k_, later, sums, sum_stride);
    };
    if (rows_ == 1) return rows.template operator()<1>();
    if (rows_ == 2) return rows.template operator()<2>();
    rows.template operator()<4>();
  }
};

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
    alignas(64) R sums[kTallestBlock * kPanel];
    Turns::Run run = turns.take(thread), next;
    lines(run, 0).ask_for_all();
    for (; run.count > 0; run = next) {
      next = turns.take(thread);
      const std::int64_t first = kWeights * run.first, width = std::min(w.shape[0] - first, kWeights * run.count);
      // Lines of y, which other threads may have had last, are on their way while the sums are made.
      for (std::int64_t i = 0; i < height; ++i) prefetch_ahead(y + (row + i) * y_stride + first, width);
      for (std::int64_t i = 0; i < run.count; ++i) {
        const Ahead later = i + 1 < run.count ? lines({run.first + i + 1, 1}, kLead) : lines(next, kLead);
        strip.multiply(first + kWeights * i, std::min(kWeights, width - kWeights * i), later, sums + kWeights * i,
                       width);
      }
      finish_block<T>(activation, sums, width, height, width, bias ? bias + first : nullptr, y + row * y_stride + first,
                      y_stride);
    }
  }

 private:
  // As many as a run's first tile has, if there is one, from a place in it or behind it.
  Ahead lines(Turns::Run run, std::int64_t from) const {
    if (run.count == 0) return {};
    const std::int64_t bytes = w.strides[0] * static_cast<std::int64_t>(sizeof(T)),
                       rows = std::min(kWeights, w.shape[0] - kWeights * run.first);
    return {reinterpret_cast<const char*>(w.as<T>()) + kWeights * run.first * bytes + 64 * from,
            (rows * bytes + 63) / 64};
  }
};

Turns turns_at(std::int64_t columns) {
  return Turns((columns + kWeights - 1) / kWeights, omp_get_max_threads(), kPanel / kWeights);
}

template <class T, class Y>
void few_rows(const TensorView& x, const RowProduct<T, Y>& product) {
  const NarrowStrip<T> strip(x, product.w);
  Turns turns = turns_at(product.w.shape[0]);
#pragma omp parallel if (x.shape[0] * product.w.elements() >= 64 * kParallelElements)
  product.multiply(strip, 0, x.shape[0], turns, omp_get_thread_num());
}

template <class T, class Y>
void many_rows(Backend& backend, const TensorView& x, const RowProduct<T, Y>& product) {
  const std::int64_t m = x.shape[0], n = product.w.shape[0], k = x.shape[1];
  const std::int64_t fits = kBlockBytes / std::max<std::int64_t>(1, k * static_cast<std::int64_t>(sizeof(T)));
  const std::int64_t block = std::clamp(fits / kTileRows * kTileRows, kTileRows, kTallestBlock);
  const std::int64_t packed = PackedRows<T>::elements(std::min(m, block), k);
  const Scratch<T> memory(backend, packed * omp_get_max_threads());
  std::vector<Turns> turns;
  for (std::int64_t row = 0; row < m; row += block) turns.push_back(turns_at(n));
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
void row_linear(Backend& backend, const TensorView& x, const TensorView& w, const TensorView& bias,
                Activation activation, const TensorView& y) {
  const RealVector<Real<T>> shift(backend, bias);
  const RowProduct<T, Y> product{w, shift.data(), activation, y.as<Y>(), y.strides[0]};
  x.shape[0] <= kFew ? few_rows(x, product) : many_rows(backend, x, product);
}

}  // namespace

void CpuBackend::do_linear_rows(TensorView x, TensorView w, TensorView bias, Activation activation, TensorView y) {
  if (y.elements() == 0) return;
  dispatch_type(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (y.dtype == x.dtype) return row_linear<T, T>(*this, x, w, bias, activation, y);
    row_linear<T, Real<T>>(*this, x, w, bias, activation, y);
  });
}

}  // namespace coxswain
