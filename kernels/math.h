// Element functions of all kernels: exp, tanh, GELU, SiLU and their derivatives, in one form for CPU and GPU.
//
// The float forms are branch-free polynomials (relative error below 1e-6) that the compiler vectorises. Every product
// that is added is an explicit fused multiply-add, so that an element has the same bits in a vector body and in a
// scalar tail. The double forms use the standard library: they serve the finite-difference tests.
//
// gelu(x) = x / 2 (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)   (GPT-2's form)
// silu(x) = x sigmoid(x)
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/backend.h"

namespace coxswain {

// The type in which a stored type is computed.
template <class T>
struct RealOf {
  using type = T;
};
template <>
struct RealOf<bf16> {
  using type = float;
};
template <class T>
using Real = typename RealOf<T>::type;

// Reading and writing one stored value. By reference and through the bits: a temporary bf16 would keep the compiler
// from vectorising the loop around it.
COXSWAIN_EVERYWHERE inline float load(const float& value) { return value; }
COXSWAIN_EVERYWHERE inline double load(const double& value) { return value; }
COXSWAIN_EVERYWHERE inline float load(const bf16& value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}
COXSWAIN_EVERYWHERE inline void put(float& place, float value) { place = value; }
COXSWAIN_EVERYWHERE inline void put(double& place, double value) { place = value; }
COXSWAIN_EVERYWHERE inline void put(bf16& place, float value) { place.bits = bf16(value).bits; }
template <class T>
COXSWAIN_EVERYWHERE inline T store(Real<T> value) {
  return static_cast<T>(value);
}

// a * b + c, rounded once where the processor can, and never left to the compiler's choice.
COXSWAIN_EVERYWHERE inline float multiply_add(float a, float b, float c) {
#if defined(__FMA__) || defined(__CUDA_ARCH__)
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}
COXSWAIN_EVERYWHERE inline double multiply_add(double a, double b, double c) {
#if defined(__FMA__) || defined(__CUDA_ARCH__)
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

// A call that is left in a loop keeps it from being vectorised, and the compiler leaves some in large files.
#ifdef __CUDACC__
#define COXSWAIN_IN_LOOPS COXSWAIN_EVERYWHERE inline
#else
#define COXSWAIN_IN_LOOPS [[gnu::always_inline]] inline
#endif

// e^x = 2^n e^r, n = round(x / ln 2), |r| <= ln(2) / 2, e^r by its series. Below -87.3 the result is 0, above 88.37
// infinity; NaN stays NaN.
COXSWAIN_IN_LOOPS float exp_fast(float x) {
  constexpr float kLow = -87.3f, kHigh = 88.7f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const float clamped_low = x < kLow ? kLow : x;
  const float clamped = clamped_low > kHigh ? kHigh : clamped_low;
  const float shifted = multiply_add(clamped, 1.44269504f, kRound);
  const float n = shifted - kRound;
  float r = multiply_add(n, -0.693145752f, clamped);  // ln 2 in two parts
  r = multiply_add(n, -1.42860677e-6f, r);
  float p = 1.0f / 5040.0f;
  p = multiply_add(p, r, 1.0f / 720.0f);
  p = multiply_add(p, r, 1.0f / 120.0f);
  p = multiply_add(p, r, 1.0f / 24.0f);
  p = multiply_add(p, r, 1.0f / 6.0f);
  p = multiply_add(p, r, 0.5f);
  p = multiply_add(p, r, 1.0f);
  p = multiply_add(p, r, 1.0f);
  const auto exponent = (std::bit_cast<std::uint32_t>(shifted) + 127u) << 23;  // the upper bits of 1.5 * 2^23 fall out
  const float result = p * std::bit_cast<float>(exponent);
  return x < kLow ? 0.0f : result;
}
COXSWAIN_IN_LOOPS double exp_fast(double x) { return std::exp(x); }

COXSWAIN_IN_LOOPS float sigmoid(float x) { return 1.0f / (1.0f + exp_fast(-x)); }
COXSWAIN_IN_LOOPS double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// Near zero the series (no cancellation), elsewhere 1 - 2 / (e^(2|x|) + 1) with the sign of x.
COXSWAIN_IN_LOOPS float tanh_fast(float x) {
  const float square = x * x;
  float p = -1382.0f / 155925.0f;
  p = multiply_add(p, square, 62.0f / 2835.0f);
  p = multiply_add(p, square, -17.0f / 315.0f);
  p = multiply_add(p, square, 2.0f / 15.0f);
  p = multiply_add(p, square, -1.0f / 3.0f);
  const float near_zero = multiply_add(p * square, x, x);
  const float size = std::abs(x);
  const float far = std::copysign(1.0f - 2.0f / (exp_fast(2.0f * size) + 1.0f), x);
  return size < 0.35f ? near_zero : far;
}
COXSWAIN_IN_LOOPS double tanh_fast(double x) { return std::tanh(x); }

// 2 u(x) and its derivative.
template <class T>
COXSWAIN_IN_LOOPS T gelu_argument(T x) {
  constexpr T kLinear = static_cast<T>(1.5957691216057308);  // 2 sqrt(2 / pi)
  constexpr T kCubic = static_cast<T>(1.5957691216057308 * 0.044715);
  return x * multiply_add(kCubic * x, x, kLinear);
}
template <class T>
COXSWAIN_IN_LOOPS T gelu_argument_slope(T x) {
  constexpr T kLinear = static_cast<T>(1.5957691216057308);
  constexpr T kCubic = static_cast<T>(3.0 * 1.5957691216057308 * 0.044715);
  return multiply_add(kCubic * x, x, kLinear);
}

template <class T>
COXSWAIN_IN_LOOPS T gelu(T x) {
  return x * sigmoid(gelu_argument(x));
}
template <class T>
COXSWAIN_IN_LOOPS T gelu_gradient(T x) {
  const T s = sigmoid(gelu_argument(x));
  return multiply_add(x * gelu_argument_slope(x), s * (T(1) - s), s);
}
template <class T>
COXSWAIN_IN_LOOPS T silu(T x) {
  return x * sigmoid(x);
}
template <class T>
COXSWAIN_IN_LOOPS T silu_gradient(T x) {
  const T s = sigmoid(x);
  return multiply_add(x, s * (T(1) - s), s);
}

// The activation fixed at compile time, for use inside vectorised loops.
template <Activation kind, class T>
COXSWAIN_IN_LOOPS T apply(T x) {
  if constexpr (kind == Activation::gelu) return gelu(x);
  if constexpr (kind == Activation::silu) return silu(x);
  return x;
}
template <Activation kind, class T>
COXSWAIN_IN_LOOPS T apply_gradient(T x) {
  if constexpr (kind == Activation::gelu) return gelu_gradient(x);
  if constexpr (kind == Activation::silu) return silu_gradient(x);
  return T(1);
}

// One value at a time.
template <class T>
COXSWAIN_IN_LOOPS T apply(Activation activation, T x) {
  return activation == Activation::gelu ? gelu(x) : activation == Activation::silu ? silu(x) : x;
}
template <class T>
COXSWAIN_IN_LOOPS T apply_gradient(Activation activation, T x) {
  return activation == Activation::gelu ? gelu_gradient(x) : activation == Activation::silu ? silu_gradient(x) : T(1);
}

}  // namespace coxswain
