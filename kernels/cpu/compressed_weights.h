// A matrix of weights in fewer bits, without loss, for products of few rows: their time is the way of w from the
// memory.
//
// Nearly all exponents of a matrix's weights lie within sixteen binades, here of a few rows. Four bits say in which a
// number lies, beside its sign and mantissa: bf16 takes 12 bits, f32 28. The few numbers elsewhere are exceptions, put
// in when their group has been unpacked. (Zhang et al. 2025, "DFloat11", use Huffman codes: eleven bits, for more
// arithmetic.)
//
// Sixteen rows of w are a strip. A group has so many columns of it as four steps of DotStep take: first the steps of
// the eight upper rows, then those of the lower ones, each step 8 rows x its width. So a product reads a strip as it
// lies. A row that w lacks in its last strip is its last row again.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/cpu/dot_step.h"

namespace coxswain {

constexpr int kStripRows = 16, kHalfRows = kStripRows / 2, kGroupSteps = 4;

// How the numbers of a group are kept. `lowest`: the exponent with code 0, at its place in a number.
template <class T>
struct GroupCode;

// bf16, each half: 32 words of codes, of the numbers i, 32 + i, 64 + i, 96 + i in word i from its low end; then 2 x 32
// words of signs and mantissas, of two numbers that are 32 apart each: one where bf16 has them, one with its bytes
// exchanged.
template <>
struct GroupCode<bf16> {
  using Word [[gnu::may_alias]] = std::uint16_t;  // written as words, read as numbers
  using Values = DotStep<bf16>::Values;
  static constexpr int kMantissa = 7, kHalf = 128, kHalfWords = 96, kWords = 2 * kHalfWords;
  static constexpr Word kExponent = 0x7f80, kOwn = 0x807f, kCode = 0x0780;

  static void pack(const Word* numbers, Word lowest, Word* to) {
    for (int half = 0; half < 2; ++half, numbers += kHalf, to += kHalfWords)
      for (int i = 0; i < 32; ++i) {
        unsigned codes = 0;
        for (int j = 0; j < 4; ++j) codes |= ((numbers[32 * j + i] - lowest) >> kMantissa & 15u) << (4 * j);
        to[i] = static_cast<Word>(codes);
        for (int j = 0; j < 2; ++j) {
          const Word* own = numbers + 64 * j + i;
          to[32 + 32 * j + i] = static_cast<Word>((own[0] & kOwn) | exchanged(own[32] & kOwn));
        }
      }
  }
  static void unpack(const Word* from, Word lowest, Word* numbers) {
    const auto number = [=](unsigned own, unsigned code) {
      return static_cast<Word>((own & kOwn) + (code & kCode) + lowest);
    };
    for (int half = 0; half < 2; ++half, numbers += kHalf, from += kHalfWords)
      for (int i = 0; i < 32; ++i) {
        const unsigned codes = from[i], left = from[32 + i], right = from[64 + i];
        numbers[i] = number(left, codes << 7);
        numbers[32 + i] = number(exchanged(left), codes << 3);
        numbers[64 + i] = number(right, codes >> 1);
        numbers[96 + i] = number(exchanged(right), codes >> 5);
      }
  }
#ifdef __AVX512F__
  COXSWAIN_INLINE static void unpack_half(const Word* from, int half, Word lowest, Values* steps) {
    const Word* words = from + half * kHalfWords;
    const __m512i codes = _mm512_loadu_si512(words), left = _mm512_loadu_si512(words + 32),
                  right = _mm512_loadu_si512(words + 64), base = _mm512_set1_epi16(static_cast<short>(lowest)),
                  exchange = _mm512_set4_epi32(0x0e0f0c0d, 0x0a0b0809, 0x06070405, 0x02030001);
    const auto numbers = [&](__m512i own, __m512i code) {
      const __m512i kept = _mm512_and_si512(own, _mm512_set1_epi16(static_cast<short>(kOwn)));
      const __m512i both =
          _mm512_ternarylogic_epi64(kept, code, _mm512_set1_epi16(kCode), 0xf8);  // kept | code & kCode
      return DotStep<bf16>::values_of({_mm512_add_epi16(both, base)});
    };
    steps[0] = numbers(left, _mm512_slli_epi16(codes, 7));
    steps[1] = numbers(_mm512_shuffle_epi8(left, exchange), _mm512_slli_epi16(codes, 3));
    steps[2] = numbers(right, _mm512_srli_epi16(codes, 1));
    steps[3] = numbers(_mm512_shuffle_epi8(right, exchange), _mm512_srli_epi16(codes, 5));
  }
#endif

 private:
  static unsigned exchanged(unsigned word) { return (word << 8 | word >> 8) & 0xffff; }
};

// f32: 16 words of codes, of the numbers i, 16 + i, ... in word i from its low end, all of the upper half before those
// of the lower; then, of each half, 3 x 16 words with the signs and mantissas of three quarters, and those of the
// fourth, a byte in each, where an exponent would lie.
template <>
struct GroupCode<float> {
  using Word [[gnu::may_alias]] = std::uint32_t;
  using Values = DotStep<float>::Values;
  static constexpr int kMantissa = 23, kHalf = 64, kWords = 112;
  static constexpr Word kExponent = 0x7f800000, kOwn = 0x807fffff, kCode = 0x07800000;

  static void pack(const Word* numbers, Word lowest, Word* to) {
    for (int i = 0; i < 16; ++i) {
      to[i] = 0;
      for (int j = 0; j < 8; ++j) to[i] |= ((numbers[16 * j + i] - lowest) >> kMantissa & 15u) << (4 * j);
      for (int half = 0; half < 2; ++half) {
        const Word* from = numbers + kHalf * half + i;
        Word* own = to + 16 + 48 * half + i;
        const Word fourth = from[48];
        own[0] = (from[0] & kOwn) | (fourth & 0xff) << 23;
        own[16] = (from[16] & kOwn) | (fourth & 0xff00) << 15;
        own[32] = (from[32] & kOwn) | (fourth & 0x7f0000) << 7 | (fourth & 0x80000000) >> 1;
      }
    }
  }
  static void unpack(const Word* from, Word lowest, Word* numbers) {
    for (int half = 0; half < 2; ++half, numbers += kHalf)
      for (int i = 0; i < 16; ++i) {
        const Word* own = from + 16 + 48 * half + i;
        const Word code = from[i] >> (16 * half), a = own[0], b = own[16], c = own[32];
        const Word fourth = (a >> 23 & 0xff) | (b >> 15 & 0xff00) | (c >> 7 & 0x7f0000) | (c << 1 & 0x80000000);
        numbers[i] = (a & kOwn) + (code << 23 & kCode) + lowest;
        numbers[16 + i] = (b & kOwn) + (code << 19 & kCode) + lowest;
        numbers[32 + i] = (c & kOwn) + (code << 15 & kCode) + lowest;
        numbers[48 + i] = fourth + (code << 11 & kCode) + lowest;
      }
  }
#ifdef __AVX512F__
  COXSWAIN_INLINE static void unpack_half(const Word* from, int half, Word lowest, Values* steps) {
    const Word* own = from + 16 + 48 * half;
    const __m512i codes = _mm512_loadu_si512(from), a = _mm512_loadu_si512(own), b = _mm512_loadu_si512(own + 16),
                  c = _mm512_loadu_si512(own + 32), base = _mm512_set1_epi32(static_cast<int>(lowest)),
                  code = half == 0 ? codes : _mm512_srli_epi32(codes, 16);
    const auto mask = [](unsigned bits) { return _mm512_set1_epi32(static_cast<int>(bits)); };
    const auto with = [&](__m512i kept, __m512i more, unsigned bits) {  // kept | more & bits
      return _mm512_ternarylogic_epi64(kept, more, mask(bits), 0xf8);
    };
    const auto numbers = [&](__m512i kept, __m512i shifted) {
      return Values{_mm512_castsi512_ps(_mm512_add_epi32(with(kept, shifted, kCode), base))};
    };
    const __m512i low = with(_mm512_and_si512(_mm512_srli_epi32(a, 23), mask(0xff)), _mm512_srli_epi32(b, 15), 0xff00);
    const __m512i fourth = with(with(low, _mm512_srli_epi32(c, 7), 0x7f0000), _mm512_slli_epi32(c, 1), 0x80000000);
    steps[0] = numbers(_mm512_and_si512(a, mask(kOwn)), _mm512_slli_epi32(code, 23));
    steps[1] = numbers(_mm512_and_si512(b, mask(kOwn)), _mm512_slli_epi32(code, 19));
    steps[2] = numbers(_mm512_and_si512(c, mask(kOwn)), _mm512_slli_epi32(code, 15));
    steps[3] = numbers(fourth, _mm512_slli_epi32(code, 11));
  }
#endif
};

template <class T>
constexpr int group_columns() {
  return kGroupSteps * DotStep<T>::kWidth;
}

// A group's numbers for its four steps.
template <class T>
struct UnpackedGroup {
  using Code = GroupCode<T>;
  using Values = typename Code::Values;
  Values upper[kGroupSteps], lower[kGroupSteps];

  COXSWAIN_INLINE void load(const T* numbers) {
    for (int step = 0; step < kGroupSteps; ++step) {
      upper[step] = DotStep<T>::load(numbers + step * (Code::kHalf / kGroupSteps));
      lower[step] = DotStep<T>::load(numbers + Code::kHalf + step * (Code::kHalf / kGroupSteps));
    }
  }
  COXSWAIN_INLINE void unpack(const typename Code::Word* from, typename Code::Word lowest) {
    if constexpr (requires { Code::unpack_half(from, 0, lowest, upper); }) {
      Code::unpack_half(from, 0, lowest, upper);
      Code::unpack_half(from, 1, lowest, lower);
    } else {
      alignas(64) typename Code::Word numbers[2 * Code::kHalf];
      Code::unpack(from, lowest, numbers);
      load(reinterpret_cast<const T*>(numbers));
    }
  }
};

// A number that has no code: `place` in group `group` of its strip.
struct CodeException {
  std::int32_t group = 0, place = 0;
  std::uint32_t bits = 0;
};

template <class T>
struct CompressedStrip {
  using Word = typename GroupCode<T>::Word;
  const Word* groups = nullptr;
  std::int64_t columns = 0;
  Word lowest = 0;
  std::span<const CodeException> exceptions;  // in the order of groups
};

class CompressedWeights {
 public:
  // w [n, k]: bf16 or f32, k a multiple of 16, rows of any stride. By all threads.
  CompressedWeights(Backend& backend, const TensorView& w);
  ~CompressedWeights();
  CompressedWeights(const CompressedWeights&) = delete;
  CompressedWeights& operator=(const CompressedWeights&) = delete;

  bool is_of(const TensorView& w) const;
  // Not where numbers lie in so many binades that exceptions would take more than is saved.
  bool worth_reading() const { return !strips_.empty(); }
  template <class T>
  CompressedStrip<T> strip(std::int64_t index) const;

 private:
  // Of a strip: the exponent with code 0, at its place, and where its exceptions begin.
  struct Strip {
    std::uint32_t lowest = 0, first_exception = 0;
  };
  template <class T>
  void compress();
  void give_back() noexcept;

  Backend& backend_;
  TensorView w_;
  std::optional<Scratch<char>> memory_;
  std::vector<Strip> strips_;              // and an end; none where it is not worth reading
  std::vector<CodeException> exceptions_;  // side by side, as they are read in turn
};

template <class T>
CompressedStrip<T> CompressedWeights::strip(std::int64_t index) const {
  using Word = typename GroupCode<T>::Word;
  const std::int64_t k = w_.shape[1], words = k / group_columns<T>() * GroupCode<T>::kWords;
  const Strip &strip = strips_[static_cast<std::size_t>(index)], &next = strips_[static_cast<std::size_t>(index) + 1];
  return {reinterpret_cast<const Word*>(memory_->data()) + index * words, k, static_cast<Word>(strip.lowest),
          std::span(exceptions_).subspan(strip.first_exception, next.first_exception - strip.first_exception)};
}

}  // namespace coxswain
