// Lanes in AVX2: two registers each, lanes 0 to 7 and 8 to 15. Included by lanes.h.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/lanes.h"

namespace coxswain {

template <>
struct Lanes<float> {
  __m256 v[2];
};
template <>
COXSWAIN_INLINE void hold_repeated(Lanes<float>& lanes) {
  asm("" : "+x"(lanes.v[0]));
  lanes.v[1] = lanes.v[0];
}
template <>
COXSWAIN_INLINE Lanes<float> all_lanes(float value) {
  const __m256 all = _mm256_set1_ps(value);
  return {{all, all}};
}
template <>
COXSWAIN_INLINE Lanes<float> load_lanes(const float* from, std::int64_t count) {
  if (count >= kLanes) return {{_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}};
  float some[kLanes] = {};
  std::copy_n(from, std::max<std::int64_t>(count, 0), some);
  return {{_mm256_loadu_ps(some), _mm256_loadu_ps(some + 8)}};
}
template <>
COXSWAIN_INLINE Lanes<float> load_lanes(const bf16* from, std::int64_t count) {
  bf16 some[kLanes] = {};
  if (count < kLanes) std::copy_n(from, std::max<std::int64_t>(count, 0), some), from = some;
  const auto eight = [](const bf16* first) {
    const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(first));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
  };
  return {{eight(from), eight(from + 8)}};
}
template <>
COXSWAIN_INLINE void store_lanes(const Lanes<float>& lanes, float* to) {
  _mm256_storeu_ps(to, lanes.v[0]);
  _mm256_storeu_ps(to + 8, lanes.v[1]);
}
template <>
COXSWAIN_INLINE Lanes<float> multiply_add(const Lanes<float>& a, const Lanes<float>& b, const Lanes<float>& c) {
  return {{_mm256_fmadd_ps(a.v[0], b.v[0], c.v[0]), _mm256_fmadd_ps(a.v[1], b.v[1], c.v[1])}};
}
template <>
COXSWAIN_INLINE Lanes<float> add(const Lanes<float>& a, const Lanes<float>& b) {
  return {{_mm256_add_ps(a.v[0], b.v[0]), _mm256_add_ps(a.v[1], b.v[1])}};
}

// Sums of neighbouring lanes, in the order 0, 1, 4, 5 and 2, 3, 6, 7 of their pairs.
COXSWAIN_INLINE __m256 neighbours(const Lanes<float>& lanes) { return _mm256_hadd_ps(lanes.v[0], lanes.v[1]); }

COXSWAIN_INLINE void sums_of_neighbours(const Lanes<float>* lanes, float* to, std::int64_t stride) {
  const auto store = [=](__m128 a, __m128 b, __m128 c, __m128 d, int first) {  // rows first, + 1, + 4 and + 5
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_storeu_ps(to + first * stride, a);
    _mm_storeu_ps(to + (first + 1) * stride, b);
    _mm_storeu_ps(to + (first + 4) * stride, c);
    _mm_storeu_ps(to + (first + 5) * stride, d);
  };
  const __m256 a = neighbours(lanes[0]), b = neighbours(lanes[1]), c = neighbours(lanes[2]), d = neighbours(lanes[3]);
  store(_mm256_castps256_ps128(a), _mm256_castps256_ps128(b), _mm256_castps256_ps128(c), _mm256_castps256_ps128(d), 0);
  store(_mm256_extractf128_ps(a, 1), _mm256_extractf128_ps(b, 1), _mm256_extractf128_ps(c, 1),
        _mm256_extractf128_ps(d, 1), 2);
}
template <>
COXSWAIN_INLINE void sums_of_pairs(const Lanes<float>& lanes, float* to) {
  const __m256d pairs = _mm256_castps_pd(neighbours(lanes));
  _mm256_storeu_ps(to, _mm256_castpd_ps(_mm256_permute4x64_pd(pairs, 0xd8)));
}
template <>
COXSWAIN_INLINE Lanes<float> sums_of_sixteen(const Lanes<float>* lanes) {
  __m128 sums[4];
  for (int i = 0; i < 4; ++i) {
    const auto four = [&](int j) {  // parts of one register
      const __m256 eight = _mm256_add_ps(lanes[4 * i + j].v[0], lanes[4 * i + j].v[1]);
      return _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    };
    __m128 a = four(0), b = four(1), c = four(2), d = four(3);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    sums[i] = _mm_add_ps(_mm_add_ps(a, c), _mm_add_ps(b, d));
  }
  return {{_mm256_set_m128(sums[1], sums[0]), _mm256_set_m128(sums[3], sums[2])}};
}

struct Line {
  __m256i v[2];
};
COXSWAIN_INLINE Line load_line(const void* from, std::int64_t bytes = 64) {
  alignas(32) char some[64] = {};
  if (bytes < 64) std::memcpy(some, from, static_cast<std::size_t>(std::max<std::int64_t>(bytes, 0))), from = some;
  const auto* halves = static_cast<const __m256i*>(from);
  return {{_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)}};
}
COXSWAIN_INLINE Line repeat_eight_bytes(const void* from) {
  double bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  const __m256i all = _mm256_castpd_si256(_mm256_set1_pd(bytes));
  return {{all, all}};
}
COXSWAIN_INLINE void load_eight_bytes_of_rows(const void* from, std::int64_t stride, Line* lines) {
  for (int half = 0; half < 2; ++half) {
    const auto row = [&](int i) {
      const char* first = static_cast<const char*>(from) + (4 * half + i) * stride;
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first));
    };
    const __m256i a = row(0), b = row(1), c = row(2), d = row(3);
    const __m256i left = _mm256_unpacklo_epi64(a, b), right = _mm256_unpacklo_epi64(c, d),
                  left_odd = _mm256_unpackhi_epi64(a, b), right_odd = _mm256_unpackhi_epi64(c, d);
    lines[0].v[half] = _mm256_permute2x128_si256(left, right, 0x20);
    lines[1].v[half] = _mm256_permute2x128_si256(left_odd, right_odd, 0x20);
    lines[2].v[half] = _mm256_permute2x128_si256(left, right, 0x31);
    lines[3].v[half] = _mm256_permute2x128_si256(left_odd, right_odd, 0x31);
  }
}
COXSWAIN_INLINE Lanes<float> floats_of(const Line& line) {
  return {{_mm256_castsi256_ps(line.v[0]), _mm256_castsi256_ps(line.v[1])}};
}
COXSWAIN_INLINE Lanes<float> even_numbers(const Line& line) {
  return {
      {_mm256_castsi256_ps(_mm256_slli_epi32(line.v[0], 16)), _mm256_castsi256_ps(_mm256_slli_epi32(line.v[1], 16))}};
}
COXSWAIN_INLINE Lanes<float> odd_numbers(const Line& line) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  return {{_mm256_castsi256_ps(_mm256_and_si256(line.v[0], upper)),
           _mm256_castsi256_ps(_mm256_and_si256(line.v[1], upper))}};
}

}  // namespace coxswain
