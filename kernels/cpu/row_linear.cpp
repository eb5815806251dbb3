// Products of a linear layer whose rows do not depend on each other: y = activation(x w^T + bias), for one row or many.
//
// An element is one dot product along k in sixteen lanes (bf16: sixteen lanes of pairs), each lane added up in the
// order of k and the lanes at last in one fixed tree. Which elements are computed together in registers is a matter of
// speed alone: bits depend on the row of x, the row of w and k.
//
// w is read as it lies, once for a block of rows of x: a thread goes through its rows of w, and asks for the next ones
// while it multiplies the present ones. For few rows of x that is the rate of the memory, for many the rate of the
// multipliers. Each thread first lays the block's rows of x side by side in the order in which they are read, so that
// they are one stream and never push each other out of the cache (measured: a tenth faster, a third for long rows).
#include <omp.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/lanes.h"

namespace coxswain {
namespace {

constexpr std::int64_t kBlockBytes = std::int64_t{1} << 19;   // of x: half a second-level cache
constexpr int kWeights = 6, kManyWeights = 8, kMostRows = 4;  // sums of a tile: 4 x 6, or up to 3 x 8
constexpr std::int64_t kPanel = 96, kTallestBlock = 96;

// Lines of memory that will be wanted next, for the second-level cache: so many from `next` in each step of a product.
struct Ahead {
  const char* next;
  int lines;
};

// Some rows of x in the order in which tiles read them: [tile of M rows][step of k][M][the step's width], zeros behind
// k. The last tile has what rows are left.
template <class T>
class PackedRows {
 public:
  static constexpr std::int64_t kWidth = DotStep<T>::kWidth;
  static std::int64_t elements(std::int64_t rows, std::int64_t k) {
    return rows * ((k + kWidth - 1) / kWidth * kWidth);
  }

  explicit PackedRows(T* memory) : memory_(memory) {}
  void pack(const T* x, std::int64_t x_stride, std::int64_t rows, std::int64_t k) {
    rows_ = rows, width_ = elements(1, k);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t first = row / kMostRows * kMostRows, m = std::min<std::int64_t>(kMostRows, rows - first);
      T* to = memory_ + first * width_ + (row - first) * kWidth;
      const T* from = x + row * x_stride;
      std::int64_t at = 0;
      for (; at + kWidth <= k; at += kWidth, to += m * kWidth) std::memcpy(to, from + at, kWidth * sizeof(T));
      if (at == k) continue;
      std::fill_n(to, kWidth, T(0));
      std::copy_n(from + at, k - at, to);
    }
  }
  std::int64_t rows() const { return rows_; }
  const T* tile(std::int64_t first) const { return memory_ + first * width_; }

 private:
  T* memory_;
  std::int64_t rows_ = 0, width_ = 0;
};

// sums[i][j] = x_i w_j for a tile of M packed rows of x and N rows of w.
template <int M, int N, class T>
[[gnu::noinline]] void dot_tile(const T* x, const T* w, std::int64_t w_stride, std::int64_t k, Ahead ahead,
                                Real<T>* sums, std::int64_t sum_stride) {
  using R = Real<T>;
  using Step = DotStep<T>;
  Lanes<R> lanes[M * N];
  for (Lanes<R>& sum : lanes) sum = all_lanes(R(0));
  const auto step = [&](const auto& load) __attribute__((always_inline)) {
    typename Step::Values rows[M];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) rows[i] = Step::load(x + i * Step::kWidth);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      typename Step::Values weights = load(w + j * w_stride);
      Step::hold(weights);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) lanes[i * N + j] = Step::multiply_add(rows[i], weights, lanes[i * N + j]);
    }
    x += M * Step::kWidth;
  };
  std::int64_t at = 0;
  for (; at + Step::kWidth <= k; at += Step::kWidth) {
    for (int line = 0; line < ahead.lines; ++line, ahead.next += 64) __builtin_prefetch(ahead.next, 0, 2);
    step([at](const T* row) __attribute__((always_inline)) { return Step::load(row + at); });
  }
  if (at < k)
    step([ at, k ](const T* row) __attribute__((always_inline)) { return Step::load_part(row + at, k - at); });
  if constexpr (M * N % 8 == 0) {
    R values[M * N];
    for (int e = 0; e < M * N; e += 8) sums_of_eight(lanes + e, values + e);
    for (int i = 0; i < M; ++i)
      for (int j = 0; j < N; ++j) sums[i * sum_stride + j] = values[i * N + j];
  } else {
    for (int i = 0; i < M; ++i)
      for (int j = 0; j < N; ++j) sums[i * sum_stride + j] = sum_of(lanes[i * N + j]);
  }
}

// A strip of the product: packed rows of x and a few rows of w.
template <class T>
class Strip {
 public:
  using R = Real<T>;
  Strip(const PackedRows<T>& x, const TensorView& weights)
      : x_(x), w_(weights.as<T>()), w_stride_(weights.strides[0]), k_(weights.shape[1]) {}

  // sums[i][j] for weights [column, column + columns), columns at most a tile's. `soon`: how many rows of w behind them
  // will be wanted next.
  void multiply(std::int64_t column, std::int64_t columns, std::int64_t soon, R* sums, std::int64_t sum_stride) const {
    if (columns == kManyWeights) return tiles<kManyWeights>(column, soon, sums, sum_stride);
    if (columns == kWeights) return tiles<kWeights>(column, soon, sums, sum_stride);
    for (std::int64_t j = 0; j < columns; ++j) tiles<1>(column + j, 0, sums + j, sum_stride);
  }

 private:
  const PackedRows<T>& x_;
  const T* w_;
  std::int64_t w_stride_, k_;

  Ahead ahead(std::int64_t column, std::int64_t soon) const {
    // Of long rows the processor foresees enough by itself where only few rows of x wait for them (measured).
    constexpr std::int64_t kLongRow = 8192, kFewRows = 16;
    const std::int64_t row_bytes = w_stride_ * static_cast<std::int64_t>(sizeof(T));
    const std::int64_t bytes = row_bytes > kLongRow && x_.rows() < kFewRows ? 0 : soon * row_bytes;
    const std::int64_t steps = std::max<std::int64_t>(1, k_ / DotStep<T>::kWidth),
                       tiles = (x_.rows() + kMostRows - 1) / kMostRows, line_steps = 64 * steps * tiles;
    return {reinterpret_cast<const char*>(w_ + column * w_stride_),
            static_cast<int>((bytes + line_steps - 1) / line_steps)};
  }

  template <int N>
  void tiles(std::int64_t column, std::int64_t soon, R* sums, std::int64_t sum_stride) const {
    const std::int64_t rows = x_.rows(), last = rows / kMostRows * kMostRows;
    Ahead next = ahead(column + N, soon);
    const auto tile = [&]<int M>(std::int64_t i) {
      dot_tile<M, N>(x_.tile(i), w_ + column * w_stride_, w_stride_, k_, next, sums + i * sum_stride, sum_stride);
      next.next += 64 * (k_ / DotStep<T>::kWidth) * next.lines;
    };
    if constexpr (N != kManyWeights)
      for (std::int64_t i = 0; i < last; i += kMostRows) tile.template operator()<kMostRows>(i);
    if (rows - last == 1) tile.template operator()<1>(last);
    if (rows - last == 2) tile.template operator()<2>(last);
    if (rows - last == 3) tile.template operator()<3>(last);
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

template <class T, class Y>
void row_linear(Backend& backend, const TensorView& x, const TensorView& w, const TensorView& bias,
                Activation activation, const TensorView& y) {
  using R = Real<T>;
  const std::int64_t m = x.shape[0], n = w.shape[0], k = x.shape[1];
  const RealVector<R> shift(backend, bias);
  const std::int64_t tile = m < kMostRows ? kManyWeights : kWeights;
  const std::int64_t panel = kPanel / tile * tile, tiles = (n + tile - 1) / tile;
  const std::int64_t fits = kBlockBytes / std::max<std::int64_t>(1, k * static_cast<std::int64_t>(sizeof(T)));
  const std::int64_t block = std::clamp(fits / kMostRows * kMostRows, std::int64_t{kMostRows}, kTallestBlock);
  const std::int64_t packed = PackedRows<T>::elements(std::min(m, block), k);
  const Scratch<T> memory(backend, packed * omp_get_max_threads());
#pragma omp parallel if (m * n * k >= 64 * kParallelElements)
  {
    const std::int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const std::int64_t first = tiles * thread / threads * tile,
                       last = std::min(n, tiles * (thread + 1) / threads * tile);
    PackedRows<T> rows(memory.data() + packed * thread);
    const Strip<T> strip(rows, w);
    alignas(64) R sums[kTallestBlock * kPanel];
    for (std::int64_t row = 0; row < m; row += block) {
      rows.pack(x.as<T>() + row * x.strides[0], x.strides[0], std::min(block, m - row), k);
      for (std::int64_t column = first; column < last; column += panel) {
        const std::int64_t columns = std::min(panel, last - column);
        for (std::int64_t j = 0; j < columns; j += tile) {
          const std::int64_t width = std::min(tile, columns - j), next = column + j + width;
          strip.multiply(column + j, width, std::min(tile, last - next), sums + j, columns);
        }
        finish_block<T>(activation, sums, columns, rows.rows(), columns, shift.data() ? shift.data() + column : nullptr,
                        y.as<Y>() + row * y.strides[0] + column, y.strides[0]);
      }
    }
  }
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
