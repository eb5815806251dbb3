// Transposition of a matrix: to[c, r] = from[r, c]. The weight gradient's first factor dy^T is laid out row by row
// before the product, which runs on it at nearly twice the rate that it reaches on columns.
#pragma once

#include <algorithm>
#include <cstdint>

#ifdef __SSE2__
#include <immintrin.h>
#endif

#include "kernels/view.h"

namespace coxswain {

// A block of edge x edge elements, through the cache.
template <class T, std::int64_t edge>
inline void transpose_block(const T* from, std::int64_t from_row, T* to, std::int64_t to_row) {
  for (std::int64_t r = 0; r < edge; ++r)
    for (std::int64_t c = 0; c < edge; ++c) to[c * to_row + r] = from[r * from_row + c];
}

#ifdef __SSE2__
// Eight rows of eight 16-bit elements: interleaved by ones, twos and fours.
template <>
inline void transpose_block<bf16, 8>(const bf16* from, std::int64_t from_row, bf16* to, std::int64_t to_row) {
  __m128i row[8], ones[8], twos[8];
  for (std::size_t r = 0; r < 8; ++r)
    row[r] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + static_cast<std::int64_t>(r) * from_row));
  for (std::size_t pair = 0; pair < 4; ++pair) {
    ones[pair] = _mm_unpacklo_epi16(row[2 * pair], row[2 * pair + 1]);
    ones[pair + 4] = _mm_unpackhi_epi16(row[2 * pair], row[2 * pair + 1]);
  }
  for (std::size_t half = 0; half < 8; half += 4)
    for (std::size_t pair = 0; pair < 2; ++pair) {
      twos[half + pair] = _mm_unpacklo_epi32(ones[half + 2 * pair], ones[half + 2 * pair + 1]);
      twos[half + pair + 2] = _mm_unpackhi_epi32(ones[half + 2 * pair], ones[half + 2 * pair + 1]);
    }
  for (std::size_t quarter = 0; quarter < 4; ++quarter) {
    bf16* target = to + static_cast<std::int64_t>(2 * quarter) * to_row;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm_unpacklo_epi64(twos[2 * quarter], twos[2 * quarter + 1]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target + to_row),
                     _mm_unpackhi_epi64(twos[2 * quarter], twos[2 * quarter + 1]));
  }
}
#endif

#ifdef __AVX__
// Eight rows of eight floats: interleaved by ones and twos, then by halves.
template <>
inline void transpose_block<float, 8>(const float* from, std::int64_t from_row, float* to, std::int64_t to_row) {
  __m256 row[8], ones[8], twos[8];
  for (std::size_t r = 0; r < 8; ++r) row[r] = _mm256_loadu_ps(from + static_cast<std::int64_t>(r) * from_row);
  for (std::size_t pair = 0; pair < 4; ++pair) {
    ones[2 * pair] = _mm256_unpacklo_ps(row[2 * pair], row[2 * pair + 1]);
    ones[2 * pair + 1] = _mm256_unpackhi_ps(row[2 * pair], row[2 * pair + 1]);
  }
  for (std::size_t half = 0; half < 8; half += 4)
    for (std::size_t pair = 0; pair < 2; ++pair) {
      twos[half + 2 * pair] = _mm256_shuffle_ps(ones[half + pair], ones[half + pair + 2], 0x44);
      twos[half + 2 * pair + 1] = _mm256_shuffle_ps(ones[half + pair], ones[half + pair + 2], 0xee);
    }
  for (std::size_t c = 0; c < 4; ++c) {
    float* target = to + static_cast<std::int64_t>(c) * to_row;
    _mm256_storeu_ps(target, _mm256_permute2f128_ps(twos[c], twos[c + 4], 0x20));
    _mm256_storeu_ps(target + 4 * to_row, _mm256_permute2f128_ps(twos[c], twos[c + 4], 0x31));
  }
}
#endif

// from [rows, columns] with rows from_row apart -> to [columns, rows] with rows to_row apart. Columns are shared out to
// the threads. A to_row of a large power of two would let all rows of a strip meet in one set of the cache.
template <class T>
void transpose(const T* from, std::int64_t from_row, std::int64_t rows, std::int64_t columns, T* to,
               std::int64_t to_row) {
  constexpr std::int64_t kEdge = 8, kStrip = 64, kDeep = 64 / static_cast<std::int64_t>(sizeof(T));
#pragma omp parallel for schedule(static)
  for (std::int64_t first = 0; first < columns; first += kStrip) {
    const std::int64_t last = std::min(columns, first + kStrip);
    for (std::int64_t deep = 0; deep < rows; deep += kDeep) {  // whole lines of the result
      const std::int64_t deep_end = std::min(rows, deep + kDeep);
      for (std::int64_t r = deep + kDeep; r < deep_end + kDeep; ++r)
        for (std::int64_t c = first; c < last; c += kDeep) __builtin_prefetch(from + r * from_row + c);
      for (std::int64_t c = first; c < last; c += kEdge)
        for (std::int64_t r = deep; r < deep_end; r += kEdge) {
          if (r + kEdge <= rows && c + kEdge <= last) {
            transpose_block<T, kEdge>(from + r * from_row + c, from_row, to + c * to_row + r, to_row);
            continue;
          }
          for (std::int64_t i = r; i < std::min(rows, r + kEdge); ++i)
            for (std::int64_t j = c; j < std::min(last, c + kEdge); ++j) to[j * to_row + i] = from[i * from_row + j];
        }
    }
  }
}

}  // namespace coxswain
