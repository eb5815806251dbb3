// Copies and fills of large arrays past the caches, shared out to the threads: a line that is written whole need not be
// read first, and what is not read again soon need not push out what is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace coxswain {

inline constexpr std::size_t kStreamBytes = std::size_t{1} << 22;  // smaller arrays are better off in the cache

// A piece that one thread writes.
inline void stream_copy_piece(void* to, const void* from, std::size_t bytes) {
#ifdef __SSE2__
  auto* target = static_cast<char*>(to);
  const auto* source = static_cast<const char*>(from);
  const std::size_t head = std::min(bytes, (64 - reinterpret_cast<std::uintptr_t>(to) % 64) % 64);
  std::memcpy(target, source, head);
  std::size_t i = head;
  for (; i + 64 <= bytes; i += 64) {
    __builtin_prefetch(source + i + 1024);
    for (std::size_t part = 0; part < 64; part += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(target + i + part),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i + part)));
  }
  std::memcpy(target + i, source + i, bytes - i);
  _mm_sfence();  // these stores are ordered before whatever tells others of them
#else
  std::memcpy(to, from, bytes);
#endif
}

inline void copy_bytes(void* to, const void* from, std::size_t bytes) {
  if (bytes < kStreamBytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
    return;
  }
  constexpr std::size_t kPiece = std::size_t{1} << 16;
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < bytes; i += kPiece)
    stream_copy_piece(static_cast<char*>(to) + i, static_cast<const char*>(from) + i, std::min(kPiece, bytes - i));
}

// Sixteen bytes of one value of T, again and again; `to` is aligned for T.
template <class T>
inline void stream_fill_piece(T* to, T value, std::int64_t count) {
#ifdef __SSE2__
  constexpr std::int64_t kStep = 16 / static_cast<std::int64_t>(sizeof(T));
  std::int64_t i = 0;
  for (; i < count && reinterpret_cast<std::uintptr_t>(to + i) % 16 != 0; ++i) to[i] = value;
  T pattern[kStep];
  std::fill_n(pattern, kStep, value);
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(pattern));
  for (; i + kStep <= count; i += kStep) _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), bits);
  for (; i < count; ++i) to[i] = value;
  _mm_sfence();
#else
  std::fill_n(to, count, value);
#endif
}

}  // namespace coxswain
