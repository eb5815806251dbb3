// One step of the products of eight rows with a ninth: two lanes a row, each with a number, or of bf16 with a pair of
// them. The rows lie side by side, [8][kWidth]; what is multiplied with them is repeated for each.
//
// Products of bf16 pairs use AVX512_BF16 where the processor has it, else two FP32 multiply-adds: bits are those of one
// kind of processor.
#pragma once

#include "kernels/cpu/lanes.h"

namespace coxswain {

template <class T>
struct DotStep {
  using Values = Lanes<T>;
  static constexpr int kWidth = 2, kBlock = 4 * kWidth, kRows = kLanes / 2;
  // The first `count` numbers, zeros behind them.
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
  // Keeps the compiler from reading again for every use what `repeat` gave.
  COXSWAIN_INLINE static void hold_repeated(Values& values) { coxswain::hold_repeated(values); }
  COXSWAIN_INLINE static Lanes<T> multiply_add(const Values& a, const Values& b, const Lanes<T>& c) {
    return coxswain::multiply_add(a, b, c);
  }
};
template <>
COXSWAIN_INLINE Lanes<float> DotStep<float>::repeat(const float* from) {
  return floats_of(repeat_eight_bytes(from));
}
template <>
COXSWAIN_INLINE void DotStep<float>::load_rows(const float* from, std::int64_t stride, Values* steps) {
  Line lines[4];
  load_eight_bytes_of_rows(from, stride * 4, lines);
  for (int s = 0; s < 4; ++s) steps[s] = floats_of(lines[s]);
}

// What the two forms of DotStep<bf16> share: `Form` makes Values of a line.
template <class Form>
struct DotStepOfPairs : Form {
  static constexpr int kWidth = 4, kBlock = 4 * kWidth, kRows = kLanes / 2;
  COXSWAIN_INLINE static auto load(const bf16* from, std::int64_t count = 2 * kLanes) {
    return Form::values_of(load_line(from, 2 * count));
  }
  COXSWAIN_INLINE static auto repeat(const bf16* from) { return Form::values_of(repeat_eight_bytes(from)); }
  template <class Values>
  COXSWAIN_INLINE static void load_rows(const bf16* from, std::int64_t stride, Values* steps) {
    Line lines[4];
    load_eight_bytes_of_rows(from, stride * 2, lines);
    for (int s = 0; s < 4; ++s) steps[s] = Form::values_of(lines[s]);
  }
};

#ifdef __AVX512BF16__
struct PairProducts {
  using Values = __m512bh;
  COXSWAIN_INLINE static Values values_of(const Line& line) { return reinterpret_cast<Values>(line.v); }
};
template <>
struct DotStep<bf16> : DotStepOfPairs<PairProducts> {
  COXSWAIN_INLINE static void hold_repeated(Values& values) { asm("" : "+v"(values)); }
  COXSWAIN_INLINE static Lanes<float> multiply_add(const Values& a, const Values& b, const Lanes<float>& c) {
    return {_mm512_dpbf16_ps(c.v, a, b)};
  }
};
#else
struct EvenAndOdd {
  struct Values {
    Lanes<float> even, odd;
  };
  COXSWAIN_INLINE static Values values_of(const Line& line) { return {even_numbers(line), odd_numbers(line)}; }
};
template <>
struct DotStep<bf16> : DotStepOfPairs<EvenAndOdd> {
  COXSWAIN_INLINE static void hold_repeated(Values& values) {
    coxswain::hold_repeated(values.even);
    coxswain::hold_repeated(values.odd);
  }
  COXSWAIN_INLINE static Lanes<float> multiply_add(const Values& a, const Values& b, const Lanes<float>& c) {
    return coxswain::multiply_add(a.odd, b.odd, coxswain::multiply_add(a.even, b.even, c));
  }
};
#endif

}  // namespace coxswain
