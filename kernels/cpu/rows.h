// What the row-wise CPU kernels share: rows of a view, scratch memory, and sums over a row in one fixed order (16
// lanes, then a tree), whatever the number of threads and the row's address.
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "kernels/cpu/math.h"
#include "kernels/scratch.h"

namespace coxswain {

// The rows of a matrix [m, n] whose columns are dense.
template <class T>
class Rows {
 public:
  Rows() = default;
  explicit Rows(const TensorView& view) {
    if (view.empty()) return;
    data_ = view.as<T>();
    stride_ = view.strides[0];
  }
  explicit operator bool() const { return data_ != nullptr; }
  T* operator[](std::int64_t row) const { return data_ + row * stride_; }

 private:
  T* data_ = nullptr;
  std::int64_t stride_ = 0;
};

// A parameter vector [n] in the type of the arithmetic: itself, or converted. Null if the view is empty.
template <class R>
class RealVector {
 public:
  RealVector(Backend& backend, const TensorView& view)
      : converted_(backend, view.empty() || view.dtype == dtype_of<R>() ? 0 : view.elements()) {
    if (view.empty()) return;
    if (view.dtype == dtype_of<R>()) {
      data_ = view.as<R>();
      return;
    }
    dispatch_type(view.dtype, [&](auto tag) {
      convert_row(view.as<typename decltype(tag)::type>(), converted_.data(), view.elements());
    });
    data_ = converted_.data();
  }
  const R* data() const { return data_; }

 private:
  Scratch<R> converted_;
  const R* data_ = nullptr;
};

// Asks for the lines of values that a loop will come to soon; they may lie beyond the end of the memory. Measured where
// the processor's own prefetching is off: two to three times as fast.
inline constexpr std::int64_t kAhead = 256;
template <class T>
inline void prefetch_ahead(const T* values, std::int64_t count) {
  constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  for (std::int64_t i = 0; i < count; i += kLine) __builtin_prefetch(values + i, 1);
}

inline constexpr std::int64_t kLanes = 16;

// Sixteen lanes to one by halves; loops of constant length, which the compiler turns into vector operations.
template <class R, class Join>
[[gnu::always_inline]] inline R join_lanes(const R (&lanes)[kLanes], const Join& join) {
  R eight[8], four[4];
  for (int i = 0; i < 8; ++i) eight[i] = join(lanes[i], lanes[i + 8]);
  for (int i = 0; i < 4; ++i) four[i] = join(eight[i], eight[i + 4]);
  return join(join(four[0], four[2]), join(four[1], four[3]));
}

// The sum of term(0), ..., term(n - 1).
template <class R, class Term>
[[gnu::always_inline]] inline R lane_sum(std::int64_t n, const Term& term) {
  R lanes[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  for (std::int64_t lane = 0; i + lane < n; ++lane) lanes[lane] += term(i + lane);
  return join_lanes(lanes, [](R a, R b) { return a + b; });
}

// The greatest of `start` and term(0), ..., term(n - 1); not-a-numbers are passed over.
template <class R, class Term>
[[gnu::always_inline]] inline R lane_max(std::int64_t n, R start, const Term& term) {
  const auto greater = [](R a, R b) { return b > a ? b : a; };
  R lanes[kLanes];
  for (R& lane : lanes) lane = start;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
    for (std::int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] = greater(lanes[lane], term(i + lane));
  }
  for (std::int64_t lane = 0; i + lane < n; ++lane) lanes[lane] = greater(lanes[lane], term(i + lane));
  return join_lanes(lanes, greater);
}

// Work below this many elements is not worth waking the other threads for.
inline constexpr std::int64_t kParallelElements = 8192;

}  // namespace coxswain
