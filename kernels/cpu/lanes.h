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
COXSWAIN_INLINE __mmask32 first_pairs(std::int64_t count) {
  return count >= 2 * kLanes ? ~__mmask32{0} : (__mmask32{1} << std::max<std::int64_t>(count, 0)) - 1;
}
template <>
COXSWAIN_INLINE LanePair<bf16> load_pair(const bf16* from, std::int64_t count) {
  const __m512i words = _mm512_maskz_loadu_epi16(first_pairs(count), from);
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

// Sums of neighbouring lanes of four registers: to[i][j] = lane 2 i + lane 2 i + 1 of lanes[j].
COXSWAIN_INLINE void sums_of_neighbours(const Lanes<float>* lanes, float* to, std::int64_t stride) {
  const auto neighbours = [](__m512 a, __m512 b) {  // in each 128 bits: two sums of a, two of b
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
  };
  const __m512 left = neighbours(lanes[0].v, lanes[1].v), right = neighbours(lanes[2].v, lanes[3].v);
  const __m512 even = _mm512_shuffle_ps(left, right, 0x88), odd = _mm512_shuffle_ps(left, right, 0xdd);
  _mm_storeu_ps(to, _mm512_castps512_ps128(even));
  _mm_storeu_ps(to + stride, _mm512_castps512_ps128(odd));
  _mm_storeu_ps(to + 2 * stride, _mm512_extractf32x4_ps(even, 1));
  _mm_storeu_ps(to + 3 * stride, _mm512_extractf32x4_ps(odd, 1));
  _mm_storeu_ps(to + 4 * stride, _mm512_extractf32x4_ps(even, 2));
  _mm_storeu_ps(to + 5 * stride, _mm512_extractf32x4_ps(odd, 2));
  _mm_storeu_ps(to + 6 * stride, _mm512_extractf32x4_ps(even, 3));
  _mm_storeu_ps(to + 7 * stride, _mm512_extractf32x4_ps(odd, 3));
}
#endif
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
#ifdef __AVX512F__
template <>
COXSWAIN_INLINE Lanes<float> sums_of_sixteen(const Lanes<float>* lanes) {
  __m512 quarters[4];  // of four registers each: in each 128 bits a partial sum of each
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Lanes<float>* four = lanes + 4 * i;
    const auto halves = [](__m512 a, __m512 b) {
      return _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    };
    const __m512d left = _mm512_castps_pd(halves(four[0].v, four[1].v)),
                  right = _mm512_castps_pd(halves(four[2].v, four[3].v));
    quarters[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(left, right)),
                                _mm512_castpd_ps(_mm512_unpackhi_pd(left, right)));
  }
  const auto joined = [](__m512 a, __m512 b) {  // parts 0 + 2 and 1 + 3 of a, then of b
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  const __m512 left = joined(quarters[0], quarters[1]), right = joined(quarters[2], quarters[3]);
  return {_mm512_add_ps(_mm512_shuffle_f32x4(left, right, 0x88), _mm512_shuffle_f32x4(left, right, 0xdd))};
}
#endif

// Eight numbers side by side: lane 0 + lane 1, lane 2 + lane 3, and so on.
template <class R>
COXSWAIN_INLINE void sums_of_pairs(const Lanes<R>& lanes, R* to) {
  sums_of_neighbours_of(lanes, to, 1);
}
#ifdef __AVX512F__
template <>
COXSWAIN_INLINE void sums_of_pairs(const Lanes<float>& lanes, float* to) {
  const __m512 sums = _mm512_add_ps(lanes.v, _mm512_movehdup_ps(lanes.v));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi64_epi32(_mm512_castps_si512(sums)));
}
#endif

// One step of the products of eight rows with a ninth: two lanes a row, each with a number, or of bf16 with a pair of
// them. The rows lie side by side, [8][kWidth]; what is multiplied with them is repeated for each.
template <class T>
struct DotStep {
  using Values = Lanes<T>;
  static constexpr int kWidth = 2, kBlock = 4 * kWidth, kRows = kLanes / 2;
  COXSWAIN_INLINE static Values load(const T* from, std::int64_t count = kLanes) { return load_lanes(from, count); }
  COXSWAIN_INLINE static Values repeat(const T* from) {
    Values values;
    for (int i = 0; i < kLanes; ++i) values.v[i] = from[i % kWidth];
    return values;
  }
  // Four steps of eight rows as they lie in memory.
  COXSWAIN_INLINE static void load_rows(const T* from, std::int64_t stride, Values* steps) {
    for (int s = 0; s < 4; ++s)
      for (int i = 0; i < kLanes; ++i) steps[s].v[i] = from[i / kWidth * stride + s * kWidth + i % kWidth];
  }
  COXSWAIN_INLINE static void hold(Values& values) { hold_lanes(values); }
  COXSWAIN_INLINE static Lanes<T> multiply_add(const Values& a, const Values& b, const Lanes<T>& c) {
    return coxswain::multiply_add(a, b, c);
  }
};
#ifdef __AVX512F__
COXSWAIN_INLINE __m512d repeat_eight_bytes(const void* from) {
  double bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return _mm512_set1_pd(bytes);
}
template <>
COXSWAIN_INLINE Lanes<float> DotStep<float>::repeat(const float* from) {
  return {_mm512_castpd_ps(repeat_eight_bytes(from))};
}
// The eight bytes `s` of eight rows in steps[s], for s of 0 to 3; a row is so many bytes from the next.
COXSWAIN_INLINE void load_eight_bytes_of_rows(const void* from, std::int64_t stride, __m512i* steps) {
  const auto two = [&](int row) {  // 32 bytes of a row and of the next but one
    const char* first = static_cast<const char*>(from) + row * stride;
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first))),
                              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first + 2 * stride)), 1);
  };
  const __m512i a = two(0), b = two(1), c = two(4), d = two(5);
  const __m512i left = _mm512_unpacklo_epi64(a, b), right = _mm512_unpacklo_epi64(c, d),
                left_odd = _mm512_unpackhi_epi64(a, b), right_odd = _mm512_unpackhi_epi64(c, d);
  steps[0] = _mm512_shuffle_i64x2(left, right, 0x88);
  steps[1] = _mm512_shuffle_i64x2(left_odd, right_odd, 0x88);
  steps[2] = _mm512_shuffle_i64x2(left, right, 0xdd);
  steps[3] = _mm512_shuffle_i64x2(left_odd, right_odd, 0xdd);
}
template <>
COXSWAIN_INLINE void DotStep<float>::load_rows(const float* from, std::int64_t stride, Values* steps) {
  __m512i bytes[4];
  load_eight_bytes_of_rows(from, stride * 4, bytes);
  for (int s = 0; s < 4; ++s) steps[s].v = _mm512_castsi512_ps(bytes[s]);
}
#endif
#ifdef __AVX512BF16__
template <>
struct DotStep<bf16> {
  using Values = __m512bh;
  static constexpr int kWidth = 4, kBlock = 4 * kWidth, kRows = kLanes / 2;
  // The first `count` numbers, zeros behind them.
  COXSWAIN_INLINE static Values load(const bf16* from, std::int64_t count = 2 * kLanes) {
    return reinterpret_cast<Values>(_mm512_maskz_loadu_epi16(first_pairs(count), from));
  }
  COXSWAIN_INLINE static Values repeat(const bf16* from) { return reinterpret_cast<Values>(repeat_eight_bytes(from)); }
  COXSWAIN_INLINE static void load_rows(const bf16* from, std::int64_t stride, Values* steps) {
    __m512i bytes[4];
    load_eight_bytes_of_rows(from, stride * 2, bytes);
    for (int s = 0; s < 4; ++s) steps[s] = reinterpret_cast<Values>(bytes[s]);
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
  static constexpr int kWidth = 4, kBlock = 4 * kWidth, kRows = kLanes / 2;
  COXSWAIN_INLINE static Values load(const bf16* from, std::int64_t count = 2 * kLanes) {
    return pairs([=](int i) { return i < count ? coxswain::load(from[i]) : 0.0f; });
  }
  COXSWAIN_INLINE static Values repeat(const bf16* from) {
    return pairs([from](int i) { return coxswain::load(from[i % kWidth]); });
  }
  COXSWAIN_INLINE static void load_rows(const bf16* from, std::int64_t stride, Values* steps) {
    for (int s = 0; s < 4; ++s)
      steps[s] = pairs([&](int i) { return coxswain::load(from[i / kWidth * stride + s * kWidth + i % kWidth]); });
  }
  COXSWAIN_INLINE static void hold(Values& values) {
    hold_lanes(values.even);
    hold_lanes(values.odd);
  }
  COXSWAIN_INLINE static Lanes<float> multiply_add(const Values& a, const Values& b, const Lanes<float>& c) {
    return coxswain::multiply_add(a.odd, b.odd, coxswain::multiply_add(a.even, b.even, c));
  }

 private:
  template <class At>
  COXSWAIN_INLINE static Values pairs(const At& at) {
    float even[kLanes], odd[kLanes];
    for (int i = 0; i < kLanes; ++i) even[i] = at(2 * i), odd[i] = at(2 * i + 1);
    return {load_lanes(even), load_lanes(odd)};
  }
};
#endif

}  // namespace coxswain
