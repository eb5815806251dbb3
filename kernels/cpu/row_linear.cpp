// Products of a linear layer whose rows do not depend on each other: y = activation(x w^T + bias), for one row or many.
//
// An element is one dot product along k in sixteen lanes (bf16: sixteen lanes of pairs), each lane added up in the
// order of k and the lanes at last in one fixed tree. Which elements are computed together in registers is a matter of
// speed alone: bits depend on the row of x, the row of w and k.
//
// w is read as it lies, once: a thread goes through its rows of w panel by panel, and asks for the next rows while it
// multiplies the present ones. For few rows of x that is the rate of the memory, for many the rate of the multipliers.
#include <omp.h>

#include <algorithm>
#include <cstddef>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/lanes.h"

namespace coxswain {
namespace {

constexpr std::int64_t kPanelElements = std::int64_t{1} << 16;  // of w, and of x: both stay in the second-level cache
constexpr int kWeights = 6, kManyWeights = 8, kMostRows = 4;    // sums of a tile: 4 x 6, or up to 3 x 8
constexpr std::int64_t kWidestPanel = 96, kTallestBlock = 96;

// Lines of memory that will be wanted next, for the second-level cache: so many from `next` in each step of a product.
struct Ahead {
  const char* next;
  int lines;
};

// sums[i][j] = x_i w_j for M rows of x and N rows of w.
template <int M, int N, class T>
[[gnu::noinline]] void dot_tile(const T* x, std::int64_t x_stride, const T* w, std::int64_t w_stride, std::int64_t k,
                                Ahead ahead, Real<T>* sums, std::int64_t sum_stride) {
  using R = Real<T>;
  using Step = DotStep<T>;
  Lanes<R> lanes[M * N];
  for (Lanes<R>& sum : lanes) sum = all_lanes(R(0));
  const auto step = [&](const auto& load) __attribute__((always_inline)) {
    typename Step::Values rows[M];
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) rows[i] = load(x + i * x_stride);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      typename Step::Values weights = load(w + j * w_stride);
      Step::hold(weights);
#pragma GCC unroll 8
      for (int i = 0; i < M; ++i) lanes[i * N + j] = Step::multiply_add(rows[i], weights, lanes[i * N + j]);
    }
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

template <class T>
class RowLinear {
 public:
  using R = Real<T>;
  RowLinear(const TensorView& rows, const TensorView& weights)
      : x_(rows.as<T>()),
        w_(weights.as<T>()),
        x_stride_(rows.strides[0]),
        w_stride_(weights.strides[0]),
        k_(rows.shape[1]) {}

  // sums[i][j] for rows [row, row + rows) of x and weights [column, column + columns), columns at most a tile's.
  // `soon`: how many rows of w behind them will be wanted next.
  void strip(std::int64_t row, std::int64_t rows, std::int64_t column, std::int64_t columns, std::int64_t soon, R* sums,
             std::int64_t sum_stride) const {
    const std::int64_t tiles = (rows + kMostRows - 1) / kMostRows,
                       steps = std::max<std::int64_t>(1, k_ / DotStep<T>::kWidth);
    // Longer rows are streams that the processor foresees by itself (measured a tenth faster).
    constexpr std::int64_t kLongRow = 8192;
    const std::int64_t row_bytes = w_stride_ * static_cast<std::int64_t>(sizeof(T));
    const std::int64_t bytes = row_bytes > kLongRow ? 0 : soon * row_bytes;
    Ahead ahead{reinterpret_cast<const char*>(w_ + (column + columns) * w_stride_),
                static_cast<int>((bytes + 64 * steps * tiles - 1) / (64 * steps * tiles))};
    const auto tile = [&]<int M, int N>(std::int64_t i, std::int64_t j) {
      dot_tile<M, N>(x_ + (row + i) * x_stride_, x_stride_, w_ + (column + j) * w_stride_, w_stride_, k_, ahead,
                     sums + i * sum_stride + j, sum_stride);
      ahead.next += 64 * steps * ahead.lines;
    };
    if constexpr (!std::is_same_v<T, double>) {  // which serves tests
      if (columns == kManyWeights) return last_rows<kManyWeights>(tile, rows, 0);
      if (columns == kWeights) {
        std::int64_t i = 0;
        for (; i + kMostRows <= rows; i += kMostRows) tile.template operator()<kMostRows, kWeights>(i, 0);
        return last_rows<kWeights>(tile, rows, i);
      }
    }
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) tile.template operator()<1, 1>(i, j);
  }

 private:
  const T *x_, *w_;
  std::int64_t x_stride_, w_stride_, k_;

  // Rows [i, rows), fewer than kMostRows.
  template <int N, class Tile>
  static void last_rows(const Tile& tile, std::int64_t rows, std::int64_t i) {
    if (rows - i == 1) tile.template operator()<1, N>(i, 0);
    if (rows - i == 2) tile.template operator()<2, N>(i, 0);
    if (rows - i == 3) tile.template operator()<3, N>(i, 0);
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
  const RowLinear<T> product(x, w);
  const RealVector<R> shift(backend, bias);
  Y* const result = y.as<Y>();
  const std::int64_t y_stride = y.strides[0];
  const std::int64_t tile = m < kMostRows ? kManyWeights : kWeights;
  const std::int64_t fits = std::max<std::int64_t>(1, kPanelElements / std::max<std::int64_t>(1, k));
  const std::int64_t panel = std::clamp(fits / tile * tile, tile, kWidestPanel / tile * tile);
  const std::int64_t block = std::clamp(fits / kMostRows * kMostRows, std::int64_t{kMostRows}, kTallestBlock);
  const std::int64_t tiles = (n + tile - 1) / tile;
#pragma omp parallel if (m * n * k >= 64 * kParallelElements)
  {
    const std::int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const std::int64_t first = tiles * thread / threads * tile,
                       last = std::min(n, tiles * (thread + 1) / threads * tile);
    alignas(64) R sums[kTallestBlock * kWidestPanel];
    for (std::int64_t column = first; column < last; column += panel) {
      const std::int64_t columns = std::min(panel, last - column);
      for (std::int64_t row = 0; row < m; row += block) {
        const std::int64_t rows = std::min(block, m - row);
        for (std::int64_t j = 0; j < columns; j += tile) {
          const std::int64_t width = std::min(tile, columns - j), next = column + j + width;
          product.strip(row, rows, column + j, width, row == 0 ? std::min(tile, last - next) : 0, sums + j, columns);
        }
        finish_block<T>(activation, sums, columns, rows, columns, shift.data() ? shift.data() + column : nullptr,
                        result + row * y_stride + column, y_stride);
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
