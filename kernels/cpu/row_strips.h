// Strips of a product of rows, y = x w^T: a few rows of w times the rows of x that a thread is at, in one of three
// ways.
//
// multiply(column, columns, later, sums, sum_stride): sums[i][j] for the rows [column, column + columns) of w, at most
// kColumns; asks for the lines `later` meanwhile. lines(run, from): those of a run's first tile.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "kernels/cpu/compressed_tile.h"
#include "kernels/cpu/narrow_tile.h"
#include "kernels/cpu/turns.h"

namespace coxswain {

constexpr std::int64_t kRows = kLanes / 2;  // of x in a Lanes
// A tile: rows of w, Lanes of rows of x. Its sums are in registers, of which there are half as many without AVX-512,
// and half as wide.
#ifdef __AVX512F__
constexpr std::int64_t kWeights = 8, kMostRegisters = 2;
#else
constexpr std::int64_t kWeights = 4, kMostRegisters = 1;
#endif
constexpr std::int64_t kLead = 144;  // lines that are asked for earlier than a tile ahead
constexpr std::int64_t kFew = 4;     // rows of x: multiplied as they lie
constexpr std::int64_t kTileRows = kMostRegisters * kRows, kTallestBlock = 96, kPanel = 64;

// Some rows of x in the order in which tiles read them: [tile][step of k][register][8 rows][the step's width], zeros
// behind k, the last row again for missing ones. The last tile has fewer registers if these are enough.
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
      Step::hold_repeated(weight);
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

// As many lines as a run's first tile of so many rows of w has, if there is one, from a place in it or behind it.
template <std::int64_t tile, class T>
Ahead lines_of(const TensorView& w, Turns::Run run, std::int64_t from) {
  if (run.count == 0) return {};
  const std::int64_t bytes = w.strides[0] * static_cast<std::int64_t>(sizeof(T)),
                     rows = std::min(tile, w.shape[0] - tile * run.first);
  return {reinterpret_cast<const char*>(w.as<T>()) + tile * run.first * bytes + 64 * from, (rows * bytes + 63) / 64};
}

// Packed rows of x times a few rows of w.
template <class T>
class Strip {
 public:
  using R = Real<T>;
  static constexpr std::int64_t kColumns = kWeights;  // rows of w in a tile
  Strip(const PackedRows<T>& x, const TensorView& weights)
      : x_(x), weights_(weights), w_(weights.as<T>()), w_stride_(weights.strides[0]), k_(weights.shape[1]) {}

  Ahead lines(Turns::Run run, std::int64_t from) const { return lines_of<kColumns, T>(weights_, run, from); }

  void multiply(std::int64_t column, std::int64_t columns, Ahead later, R* sums, std::int64_t sum_stride) const {
    if (columns == kWeights) return tiles<kWeights>(column, later, sums, sum_stride);
    for (std::int64_t j = 0; j < columns; ++j) tiles<1>(column + j, {}, sums + j, sum_stride);
  }

 private:
  const PackedRows<T>& x_;
  const TensorView& weights_;
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
  static constexpr std::int64_t kColumns = DotStep<T>::kRows;
  NarrowStrip(const TensorView& x, const TensorView& weights)
      : rows_(x.shape[0]), weights_(weights), w_(weights.as<T>()), w_stride_(weights.strides[0]), k_(weights.shape[1]) {
    for (std::int64_t i = 0; i < kFew; ++i) x_[i] = x.as<T>() + std::min(i, rows_ - 1) * x.strides[0];
  }

  Ahead lines(Turns::Run run, std::int64_t from) const { return lines_of<kColumns, T>(weights_, run, from); }

  // `sums` has four rows, however few x has.
  void multiply(std::int64_t column, std::int64_t columns, Ahead later, R* sums, std::int64_t sum_stride) const {
    if (columns == kColumns) return tile(column, w_stride_, later, sums, sum_stride);
    for (std::int64_t j = 0; j < columns; ++j) {  // a row alone: eight times the same
      R same[kFew * kColumns];
      tile(column + j, 0, {}, same, kColumns);
      for (std::int64_t i = 0; i < rows_; ++i) sums[i * sum_stride + j] = same[i * kColumns];
    }
  }

 private:
  const T* x_[kFew];
  std::int64_t rows_;
  const TensorView& weights_;
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

// The same with compressed weights: `X` rows of x, of which `rows` count.
template <class T, int X, class AnyRows>
class CompressedColumns {
 public:
  using R = Real<T>;
  static constexpr std::int64_t kColumns = kStripRows;
  CompressedColumns(const AnyRows& x, std::int64_t rows, const CompressedWeights& weights)
      : x_(x), rows_(rows), weights_(weights) {}

  Ahead lines(Turns::Run run, std::int64_t) const {
    if (run.count == 0) return {};
    return {reinterpret_cast<const char*>(weights_.strip<T>(run.first).groups), kLead};
  }

  // `sums` has X rows. Tiles ask for what comes next by themselves.
  void multiply(std::int64_t column, std::int64_t columns, Ahead, R* sums, std::int64_t sum_stride) const {
    const CompressedStrip<T> strip = weights_.strip<T>(column / kColumns);
    if (columns == kColumns) return compressed_tile<X>(x_, strip, sums, sum_stride);
    R all[X * kColumns];
    compressed_tile<X>(x_, strip, all, kColumns);
    for (std::int64_t i = 0; i < rows_; ++i) std::copy_n(all + i * kColumns, columns, sums + i * sum_stride);
  }

 private:
  AnyRows x_;
  std::int64_t rows_;
  const CompressedWeights& weights_;
};

}  // namespace coxswain
