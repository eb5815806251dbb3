// Lanes in AVX-512: a register each. Included by lanes.h.
#pragma once

#pragma GCC diagnostic push  // GCC 12 takes its own undefined registers for mistakes of ours
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include "kernels/cpu/lanes.h"

namespace coxswain {

template <>
struct Lanes<float> {
  __m512 v;
};
template <>
COXSWAIN_INLINE void hold_repeated(Lanes<float>& lanes) {
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

template <>
COXSWAIN_INLINE void sums_of_pairs(const Lanes<float>& lanes, float* to) {
  const __m512 sums = _mm512_add_ps(lanes.v, _mm512_movehdup_ps(lanes.v));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi64_epi32(_mm512_castps_si512(sums)));
}

struct Line {
  __m512i v;
};
COXSWAIN_INLINE Line load_line(const void* from, std::int64_t bytes = 64) {
  return {_mm512_maskz_loadu_epi16(first_pairs(bytes / 2), from)};
}
COXSWAIN_INLINE Line repeat_eight_bytes(const void* from) {
  double bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return {_mm512_castpd_si512(_mm512_set1_pd(bytes))};
}
COXSWAIN_INLINE void load_eight_bytes_of_rows(const void* from, std::int64_t stride, Line* lines) {
  const auto two = [&](int row) {  // 32 bytes of a row and of the next but one
    const char* first = static_cast<const char*>(from) + row * stride;
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(first))),
                              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first + 2 * stride)), 1);
  };
  const __m512i a = two(0), b = two(1), c = two(4), d = two(5);
  const __m512i left = _mm512_unpacklo_epi64(a, b), right = _mm512_unpacklo_epi64(c, d),
                left_odd = _mm512_unpackhi_epi64(a, b), right_odd = _mm512_unpackhi_epi64(c, d);
  lines[0].v = _mm512_shuffle_i64x2(left, right, 0x88);
  lines[1].v = _mm512_shuffle_i64x2(left_odd, right_odd, 0x88);
  lines[2].v = _mm512_shuffle_i64x2(left, right, 0xdd);
  lines[3].v = _mm512_shuffle_i64x2(left_odd, right_odd, 0xdd);
}
COXSWAIN_INLINE Lanes<float> floats_of(const Line& line) { return {_mm512_castsi512_ps(line.v)}; }
COXSWAIN_INLINE Lanes<float> even_numbers(const Line& line) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(line.v, 16))};
}
COXSWAIN_INLINE Lanes<float> odd_numbers(const Line& line) {
  return {_mm512_castsi512_ps(_mm512_and_si512(line.v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}

}  // namespace coxswain
