// A tile of a product of few rows of x with a strip of compressed weights: y = x w^T.
//
// As in narrow_tile.h, a register holds the sums of one row of x and eight rows of w; an element's sums are the same.
// Two such registers for each row of x: a value of x that is read serves sixteen rows of w. Groups come from the memory
// in the order in which they lie.
#pragma once

#include "kernels/cpu/compressed_weights.h"

namespace coxswain {

// Up to four rows of x as they lie.
template <class T>
struct LooseRows {
  const T* const* rows;
  COXSWAIN_INLINE const T* at(int row, std::int64_t column) const { return rows[row] + column; }
};

// Eight rows of x side by side, see PackedRows.
template <class T>
struct RowsSideBySide {
  const T* memory;
  COXSWAIN_INLINE const T* at(int row, std::int64_t column) const {
    return memory + column * kHalfRows + row * DotStep<T>::kWidth;
  }
};

// Memory 10 KB behind a group, in this strip, the next or behind the last: a step's share of it. Measured: 6 to 12 KB
// are as good, 4 KB costs a tenth; all lines of a group at once up to a tenth.
template <class T>
COXSWAIN_INLINE void ask_behind(const typename GroupCode<T>::Word* group, int step) {
  constexpr int kLead = 10 << 10, kLines = GroupCode<T>::kWords * sizeof(*group) / 64;
  for (int line = step * kLines / kGroupSteps; line < (step + 1) * kLines / kGroupSteps; ++line)
    __builtin_prefetch(reinterpret_cast<const char*>(group) + kLead + 64 * line, 0, 3);
}

// sums[i][j] = x_i w_j for X rows of x and the sixteen rows of w of a strip.
template <int X, class T, class AnyRows>
[[gnu::noinline]] void compressed_tile(const AnyRows& x, const CompressedStrip<T>& w, Real<T>* sums,
                                       std::int64_t sum_stride) {
  using Code = GroupCode<T>;
  using Step = DotStep<T>;
  constexpr int kColumns = group_columns<T>();
  Lanes<Real<T>> lanes[2 * X];
  for (Lanes<Real<T>>& sum : lanes) sum = all_lanes(Real<T>(0));
  const typename Code::Word* from = w.groups;
  std::int64_t column = 0;
  const auto multiply = [&](const UnpackedGroup<T>& group) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int step = 0; step < kGroupSteps; ++step) {
      ask_behind<T>(from, step);
#pragma GCC unroll 8
      for (int i = 0; i < X; ++i) {
        typename Step::Values value = Step::repeat(x.at(i, column + step * Step::kWidth));
        Step::hold_repeated(value);
        lanes[2 * i] = Step::multiply_add(group.upper[step], value, lanes[2 * i]);
        lanes[2 * i + 1] = Step::multiply_add(group.lower[step], value, lanes[2 * i + 1]);
      }
    }
    from += Code::kWords, column += kColumns;
  };
  auto exception = w.exceptions.begin();
  while (true) {
    // A loop without exceptions keeps everything in registers.
    const std::int64_t next = exception != w.exceptions.end() ? std::int64_t{exception->group} * kColumns : w.columns;
    while (column < next) {
      UnpackedGroup<T> group;
      group.unpack(from, w.lowest);
      multiply(group);
    }
    if (column == w.columns) break;
    alignas(64) typename Code::Word numbers[2 * Code::kHalf];
    Code::unpack(from, w.lowest, numbers);
    for (; exception != w.exceptions.end() && exception->group * kColumns == column; ++exception)
      numbers[exception->place] = static_cast<typename Code::Word>(exception->bits);
    UnpackedGroup<T> group;
    group.load(reinterpret_cast<const T*>(numbers));
    multiply(group);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 2 * X; ++i) sums_of_pairs(lanes[i], sums + i / 2 * sum_stride + i % 2 * kHalfRows);
}

}  // namespace coxswain
