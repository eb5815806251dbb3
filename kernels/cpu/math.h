// Rows of elements on the CPU: conversion, activations and their gradients, in loops that the compiler vectorises.
#pragma once

#include "kernels/dispatch.h"
#include "kernels/math.h"

namespace coxswain {

// One row: to[i] = from[i], converted. For other types than bf16 a plain copy.
template <class From, class To>
inline void convert_row(const From* from, To* to, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) put(to[i], static_cast<Real<To>>(load(from[i])));
}

// Rows: y = activation(x), and dx = dy * activation'(x). x and y may be the same memory.
template <class From, class To>
inline void activate_row(Activation activation, const From* x, To* y, std::int64_t n) {
  dispatch(activation, [=](auto tag) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) put(y[i], apply<tag.value>(load(x[i])));
  });
}
template <class T>
inline void activate_gradient_row(Activation activation, const T* x, const T* dy, T* dx, std::int64_t n) {
  dispatch(activation, [=](auto tag) {
#pragma omp simd
    for (std::int64_t i = 0; i < n; ++i) put(dx[i], load(dy[i]) * apply_gradient<tag.value>(load(x[i])));
  });
}

}  // namespace coxswain
