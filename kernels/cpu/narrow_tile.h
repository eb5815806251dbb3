// A tile of a product of few rows of x: y = x w^T.
//
// A register holds the sums of one row of x and eight rows of w: two values of each row of w, laid side by side as they
// are read, times two values of x, repeated. So w is multiplied with no more rows of x than there are, and what takes
// time is its way from the memory. (Tiles for many rows have it the other way round, see row_linear.cpp; an element's
// sums are the same.)
#pragma once

#include "kernels/cpu/dot_step.h"

namespace coxswain {

// Lines of memory that will be wanted next.
struct Ahead {
  const char* next = nullptr;
  std::int64_t lines = 0;

  COXSWAIN_INLINE void ask() {
    if (--lines >= 0) __builtin_prefetch(next, 0, 3), next += 64;
  }
  void ask_for_all() {
    while (lines > 0) ask();
  }
};

// The values of some rows behind whole blocks of k, with zeros behind them. They are multiplied before all others:
// behind a loop over blocks the compiler would put all sums into memory.
template <int Rows, class T>
class Tail {
 public:
  // `begin(i)`: where a row begins.
  template <class Begin>
  Tail(std::int64_t k, const Begin& begin) {
    const std::int64_t count = k % kBlock;
    for (int i = 0; i < Rows; ++i) std::copy_n(begin(i) + k - count, count, values_ + i * kBlock);
  }
  const T* row(int i) const { return values_ + i * kBlock; }

 private:
  static constexpr int kBlock = DotStep<T>::kBlock;
  T values_[Rows * kBlock] = {};
};

// sums[i][j] = x_i w_j for X rows of x, which begin at x[i], and eight rows of w.
template <int X, class T>
[[gnu::noinline]] void narrow_tile(const T* const* x, const T* w, std::int64_t w_stride, std::int64_t k, Ahead ahead,
                                   Real<T>* sums, std::int64_t sum_stride) {
  using R = Real<T>;
  using Step = DotStep<T>;
  Lanes<R> lanes[X];
  for (Lanes<R>& sum : lanes) sum = all_lanes(R(0));
  const T* rows[X];
  const auto block = [&](const T* weights, std::int64_t stride, std::int64_t at) __attribute__((always_inline)) {
    typename Step::Values steps[4];
    Step::load_rows(weights, stride, steps);
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      ahead.ask();
#pragma GCC unroll 8
      for (int i = 0; i < X; ++i) {
        typename Step::Values value = Step::repeat(rows[i] + at + s * Step::kWidth);
        Step::hold_repeated(value);
        lanes[i] = Step::multiply_add(steps[s], value, lanes[i]);
      }
    }
  };
  if (k % Step::kBlock > 0) [[unlikely]] {
    const Tail<X, T> values(k, [&](int i) { return x[i]; });
    const Tail<Step::kRows, T> weights(k, [&](int j) { return w + j * w_stride; });
    for (int i = 0; i < X; ++i) rows[i] = values.row(i);
    block(weights.row(0), Step::kBlock, 0);
  }
  std::copy_n(x, X, rows);
  for (std::int64_t at = 0; at + Step::kBlock <= k; at += Step::kBlock) block(w + at, w_stride, at);
#pragma GCC unroll 8
  for (int i = 0; i < X; ++i) sums_of_pairs(lanes[i], sums + i * sum_stride);
}

}  // namespace coxswain
