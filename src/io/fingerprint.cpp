#include "io/fingerprint.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace coxswain {

namespace {

constexpr std::uint64_t kPlace = 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio, odd
constexpr std::uint64_t kValue = 0xd6e8feb86659fd93u;
constexpr std::uint64_t kMix = 0xff51afd7ed558ccdu;  // MurmurHash3

// Elements that follow one another in memory and in the global tensor. A plain loop that compilers vectorise.
template <class Bits>
[[gnu::always_inline]] inline std::uint64_t sum_of_mixed(const Bits* x, std::int64_t elements, std::int64_t first) {
  std::uint64_t sum = 0;
  std::uint64_t place = kPlace * static_cast<std::uint64_t>(first + 1);
  for (std::int64_t i = 0; i < elements; ++i, place += kPlace) {
    std::uint64_t h = place ^ (kValue * static_cast<std::uint64_t>(x[i]));
    h ^= h >> 32;
    h *= kMix;
    sum += h ^ (h >> 29);
  }
  return sum;
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
// AVX-512 multiplies 64-bit lanes, which doubles the rate; the sum is exact, so the result is the same.
template <class Bits>
[[gnu::target("avx512f,avx512dq,avx512vl,avx512bw,prefer-vector-width=512")]] std::uint64_t sum_by_avx512(
    const Bits* x, std::int64_t elements, std::int64_t first) {
  return sum_of_mixed(x, elements, first);
}
#endif

template <class Bits>
std::uint64_t run_of_elements(const Bits* x, std::int64_t elements, std::int64_t first) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  static const bool has_avx512 =
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
  if (has_avx512) return sum_by_avx512(x, elements, first);
#endif
  return sum_of_mixed(x, elements, first);
}

template <class Bits>
std::uint64_t box(const Bits* memory, const Shape& global, const Shape& offset, const Shape& count) {
  if (count.elements() == 0) return 0;
  // Trailing dimensions that are whole, and the first one before them, form one run.
  int split = count.rank();
  std::int64_t run = 1;
  while (split > 0) {
    --split;
    run *= count[split];
    if (count[split] != global[split]) break;
  }
  std::uint64_t sum = 0;
  Shape place = offset;
  for (const Bits* end = memory + count.elements(); memory != end; memory += run) {
    std::int64_t index = 0;
    for (int d = 0; d < count.rank(); ++d) index = index * global[d] + place[d];
    sum += run_of_elements(memory, run, index);
    for (int d = split - 1; d >= 0; --d) {
      if (++place[d] < offset[d] + count[d]) break;
      place[d] = offset[d];
    }
  }
  return sum;
}

}  // namespace

std::uint64_t fingerprint(DType dtype, const void* memory, const Shape& global, const Shape& offset,
                          const Shape& count) {
  switch (dtype) {
    case DType::bf16:
      return box(static_cast<const std::uint16_t*>(memory), global, offset, count);
    case DType::f32:
    case DType::i32:
      return box(static_cast<const std::uint32_t*>(memory), global, offset, count);
    case DType::f64:
      return box(static_cast<const std::uint64_t*>(memory), global, offset, count);
  }
  return 0;
}

std::uint64_t hash_bytes(const void* memory, std::size_t bytes) { return XXH3_64bits(memory, bytes); }

std::string hexadecimal(std::uint64_t value) { return fmt::format("{:016x}", value); }

}  // namespace coxswain
