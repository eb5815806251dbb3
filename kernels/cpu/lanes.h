// Sixteen numbers at once, in registers: what kernels that must not leave their inner loops to the compiler are made
// of.
//
// With AVX-512 a Lanes<float> is one register; otherwise it is an array whose loops the compiler vectorises as it can.
// Products of bf16 pairs use AVX512_BF16 where the processor has it, else two FP32 multiply-adds: bits are those of one
// kind of processor.
#pragma once

#ifdef __AVX512F__
#pragma GCC diagnostic push  // GCC 12 takes its own undefined registers for mistakes of ours
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#include <algorithm>
#include <cstdint>

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
template <class R>
COXSWAIN_INLINE R sum_of(const Lanes<R>& lanes) {
  return join_lanes(lanes.v, [](R a, R b) { return a + b; });
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

// Keeps the compiler from reading the same memory again for every use.
template <class R>
COXSWAIN_INLINE void hold_lanes(Lanes<R>&) {}

#ifdef __AVX512F__
template <>
struct Lanes<float> {
  __m512 v;
};
template <>
COXSWAIN_INLINE void hold_lanes(Lanes<float>& lanes) {
  asm("" : "+v"(lanes.v));
}
template <>
COXSWAIN_INLINE Lanes<float> all_lanes(float value) {
  return {_mm512_set1_ps(value)};
}
COXSWAIN_INLINE __mmask16 first_lanes(std::int64_t count) {
  return static_cast<__mmask16>(count >= kLanes ? 0xffffu : (1u << count) - 1u);
}
template <>
COXSWAIN_INLINE Lanes<float> load_lanes(const float* from, std::int64_t count) {
  if (count >= kLanes) return {_mm512_loadu_ps(from)};
  return {_mm512_maskz_loadu_ps(first_lanes(count), from)};
}
template <>
COXSWAIN_INLINE Lanes<float> load_lanes(const bf16* from, std::int64_t count) {
  const __m256i words = count >= kLanes ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))
                                        : _mm512_castsi512_si256(_mm512_maskz_loadu_epi16(first_lanes(count), from));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16))};
}
template <>
COXSWAIN_INLINE void store_lanes(const Lanes<float>& lanes, float* to) {
  _mm512_storeu_ps(to, lanes.v);
}
template <>
COXSWAIN_INLINE Lanes<float> multiply_add(const Lanes<float>& a, const Lanes<float>& b, const Lanes<float>& c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
template <>
COXSWAIN_INLINE Lanes<float> add(const Lanes<float>& a, const Lanes<float>& b) {
  return {_mm512_add_ps(a.v, b.v)};
}
template <>
COXSWAIN_INLINE LanePair<bf16> load_pair(const bf16* from, std::int64_t count) {
  const __mmask32 wanted = count >= 2 * kLanes ? ~__mmask32{0} : (__mmask32{1} << std::max<std::int64_t>(count, 0)) - 1;
  const __m512i words = _mm512_maskz_loadu_epi16(wanted, from);
  return {{_mm512_castsi512_ps(_mm512_slli_epi32(words, 16))},
          {_mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))}};
}
template <>
COXSWAIN_INLINE void store_pair(const LanePair<bf16>& pair, float* to) {
  const __m512i order = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i behind = _mm512_add_epi32(order, _mm512_set1_epi32(8));
  _mm512_storeu_ps(to, _mm512_permutex2var_ps(pair.first.v, order, pair.second.v));
  _mm512_storeu_ps(to + kLanes, _mm512_permutex2var_ps(pair.first.v, behind, pair.second.v));
}
template <>
COXSWAIN_INLINE float sum_of(const Lanes<float>& lanes) {
  alignas(64) float values[kLanes];
  _mm512_store_ps(values, lanes.v);
  return join_lanes(values, [](float a, float b) { return a + b; });
}

// Eight sums at once, each with the additions of sum_of in its order: halves of pairs of vectors side by side.
COXSWAIN_INLINE void sums_of_eight(const Lanes<float>* lanes, float* sums) {
  const auto halves = [](__m512 a, __m512 b) {  // [a0-7 + a8-15 | b0-7 + b8-15]
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  const auto quarters = [](__m512 a, __m512 b) {  // four sums of four lanes: of a, a', b, b'
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  const __m512 q0 = quarters(halves(lanes[0].v, lanes[1].v), halves(lanes[2].v, lanes[3].v));
  const __m512 q1 = quarters(halves(lanes[4].v, lanes[5].v), halves(lanes[6].v, lanes[7].v));
  // in each 128 bits: lanes 0 + 2 and 1 + 3 of q0's sum, then of q1's
  const __m512 pairs = _mm512_add_ps(_mm512_shuffle_ps(q0, q1, 0x44), _mm512_shuffle_ps(q0, q1, 0xee));
  const __m512 ones = _mm512_add_ps(_mm512_shuffle_ps(pairs, pairs, 0x08), _mm512_shuffle_ps(pairs, pairs, 0x0d));
  // ones holds (sum i, sum i + 4) in the first half of each 128 bits
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  _mm256_storeu_ps(sums, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, ones)));
}
#else
COXSWAIN_INLINE void sums_of_eight(const Lanes<float>* lanes, float* sums) {
  for (int i = 0; i < 8; ++i) sums[i] = sum_of(lanes[i]);
}
#endif
COXSWAIN_INLINE void sums_of_eight(const Lanes<double>* lanes, double* sums) {
  for (int i = 0; i < 8; ++i) sums[i] = sum_of(lanes[i]);
}

// What one step of a dot product takes: sixteen values, or sixteen pairs of bf16.
template <class T>
struct DotStep {
  using Values = Lanes<T>;
  static constexpr std::int64_t kWidth = kLanes;
  COXSWAIN_INLINE static Values load(const T* from) { return load_lanes(from); }
  COXSWAIN_INLINE static Values load_part(const T* from, std::int64_t count) { return load_lanes(from, count); }
  COXSWAIN_INLINE static void hold(Values& values) { hold_lanes(values); }
  COXSWAIN_INLINE static Lanes<T> multiply_add(const Values& a, const Values& b, const Lanes<T>& c) {
    return coxswain::multiply_add(a, b, c);
  }
};
#ifdef __AVX512BF16__
template <>
struct DotStep<bf16> {
  using Values = __m512bh;
  static constexpr std::int64_t kWidth = 2 * kLanes;
  COXSWAIN_INLINE static Values load(const bf16* from) { return reinterpret_cast<Values>(_mm512_loadu_si512(from)); }
  COXSWAIN_INLINE static Values load_part(const bf16* from, std::int64_t count) {
    return reinterpret_cast<Values>(_mm512_maskz_loadu_epi16((__mmask32{1} << count) - 1, from));
  }
  COXSWAIN_INLINE static void hold(Values& values) { asm("" : "+v"(values)); }
  COXSWAIN_INLINE static Lanes<float> multiply_add(const Values& a, const Values& b, const Lanes<float>& c) {
    return {_mm512_dpbf16_ps(c.v, a, b)};
  }
};
#else
template <>
struct DotStep<bf16> {
  struct Values {
    Lanes<float> even, odd;
  };
  static constexpr std::int64_t kWidth = 2 * kLanes;
  COXSWAIN_INLINE static Values load(const bf16* from) { return load_part(from, kWidth); }
  COXSWAIN_INLINE static Values load_part(const bf16* from, std::int64_t count) {
    float even[kLanes], odd[kLanes];
    for (std::int64_t i = 0; i < kLanes; ++i) {
      even[i] = 2 * i < count ? coxswain::load(from[2 * i]) : 0.0f;
      odd[i] = 2 * i + 1 < count ? coxswain::load(from[2 * i + 1]) : 0.0f;
    }
    return {load_lanes(even), load_lanes(odd)};
  }
  COXSWAIN_INLINE static void hold(Values& values) {
    hold_lanes(values.even);
    hold_lanes(values.odd);
  }
  COXSWAIN_INLINE static Lanes<float> multiply_add(const Values& a, const Values& b, const Lanes<float>& c) {
    return coxswain::multiply_add(a.odd, b.odd, coxswain::multiply_add(a.even, b.even, c));
  }
};
#endif

}  // namespace coxswain
