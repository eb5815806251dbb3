// Sixteen numbers at once, in registers: what kernels that must not leave their inner loops to the compiler are made
// of.
//
// A Lanes<float> is one register with AVX-512 (lanes_avx512.h) and two with AVX2 (lanes_avx2.h); otherwise it is an
// array whose loops the compiler vectorises as it can.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/rows.h"

namespace coxswain {

#define COXSWAIN_INLINE [[gnu::always_inline]] inline

template <class R>
struct Lanes {
  R v[kLanes];
};

template <class R>
COXSWAIN_INLINE Lanes<R> all_lanes(R value) {
  Lanes<R> lanes;
#pragma omp simd
  for (int i = 0; i < kLanes; ++i) lanes.v[i] = value;
  return lanes;
}
// The first `count` numbers, zeros behind them.
template <class T>
COXSWAIN_INLINE Lanes<Real<T>> load_lanes(const T* from, std::int64_t count = kLanes) {
  Lanes<Real<T>> lanes;
  for (std::int64_t i = 0; i < kLanes; ++i) lanes.v[i] = i < count ? load(from[i]) : Real<T>(0);
  return lanes;
}
template <class R>
COXSWAIN_INLINE void store_lanes(const Lanes<R>& lanes, R* to) {
#pragma omp simd
  for (int i = 0; i < kLanes; ++i) to[i] = lanes.v[i];
}
template <class R>
COXSWAIN_INLINE Lanes<R> multiply_add(const Lanes<R>& a, const Lanes<R>& b, const Lanes<R>& c) {
  Lanes<R> sum;
#pragma omp simd
  for (int i = 0; i < kLanes; ++i) sum.v[i] = multiply_add(a.v[i], b.v[i], c.v[i]);
  return sum;
}
template <class R>
COXSWAIN_INLINE Lanes<R> add(const Lanes<R>& a, const Lanes<R>& b) {
  Lanes<R> sum;
#pragma omp simd
  for (int i = 0; i < kLanes; ++i) sum.v[i] = a.v[i] + b.v[i];
  return sum;
}

// Thirty-two numbers in two registers: sixteen and sixteen, or of bf16 the even ones and the odd ones, which need no
// more than a shift and a mask.
template <class T>
struct LanePair {
  Lanes<Real<T>> first, second;
};
template <class T>
COXSWAIN_INLINE LanePair<T> load_pair(const T* from, std::int64_t count = 2 * kLanes) {
  return {load_lanes(from, count), load_lanes(from + kLanes, std::max<std::int64_t>(count - kLanes, 0))};
}
template <class T>
COXSWAIN_INLINE void store_pair(const LanePair<T>& pair, Real<T>* to) {
  store_lanes(pair.first, to);
  store_lanes(pair.second, to + kLanes);
}
template <class T>
COXSWAIN_INLINE LanePair<T> add(const LanePair<T>& a, const LanePair<T>& b) {
  return {add(a.first, b.first), add(a.second, b.second)};
}
template <class T>
COXSWAIN_INLINE LanePair<T> multiply_add(const Lanes<Real<T>>& a, const LanePair<T>& b, const LanePair<T>& c) {
  return {multiply_add(a, b.first, c.first), multiply_add(a, b.second, c.second)};
}

// Keeps the compiler from reading again for every use what is the same in all eight parts, see DotStep.
template <class R>
COXSWAIN_INLINE void hold_repeated(Lanes<R>&) {}

// The same of one register.
template <class R>
COXSWAIN_INLINE void sums_of_neighbours_of(const Lanes<R>& lanes, R* to, std::int64_t stride) {
  alignas(64) R values[kLanes];
  store_lanes(lanes, values);
  for (int i = 0; i < kLanes / 2; ++i) to[i * stride] = values[2 * i] + values[2 * i + 1];
}
template <class R>
COXSWAIN_INLINE void sums_of_neighbours(const Lanes<R>* lanes, R* to, std::int64_t stride) {
  for (int j = 0; j < 4; ++j) sums_of_neighbours_of(lanes[j], to + j, stride);
}

// The sum of each of sixteen registers: lane i of the result is that of lanes[i].
template <class R>
COXSWAIN_INLINE Lanes<R> sums_of_sixteen(const Lanes<R>* lanes) {
  Lanes<R> sums;
  for (int i = 0; i < kLanes; ++i) sums.v[i] = join_lanes(lanes[i].v, [](R a, R b) { return a + b; });
  return sums;
}

// Eight numbers side by side: lane 0 + lane 1, lane 2 + lane 3, and so on.
template <class R>
COXSWAIN_INLINE void sums_of_pairs(const Lanes<R>& lanes, R* to) {
  sums_of_neighbours_of(lanes, to, 1);
}

// Each of the headers below has a Line of 64 bytes, for DotStep:
//   load_line(from, bytes)       zeros behind so many bytes, which are whole pairs of bf16
//   repeat_eight_bytes(from)     eight times the same
//   load_eight_bytes_of_rows(from, stride, lines)  lines[s]: the eight bytes s of eight rows, stride bytes apart; s < 4
//   floats_of(line); even_numbers(line), odd_numbers(line): of pairs of bf16

}  // namespace coxswain

#if defined(__AVX512F__)
#include "kernels/cpu/lanes_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "kernels/cpu/lanes_avx2.h"
#else
#include "kernels/cpu/lanes_plain.h"
#endif
