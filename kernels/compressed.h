// Weights a second time in fewer bits, without loss: which ones a processor keeps so while they are held (see
// HeldWeights), and what they take. How: cpu/compressed_weights.h.
#pragma once

#include "kernels/view.h"

namespace coxswain {

std::int64_t compressed_rows();  // of x at most: with more, a product is bound by its arithmetic

// Small ones stay in the processor's caches as they are.
inline bool is_compressed_when_held(const TensorView& w) {
  constexpr std::size_t kLeastBytes = std::size_t{1} << 20;
  return (w.dtype == DType::f32 || w.dtype == DType::bf16) && w.shape[1] % 16 == 0 && w.bytes() >= kLeastBytes;
}

// 28 bits a number of 32, 12 a number of 16; whole strips of sixteen rows.
inline std::size_t compressed_bytes(const TensorView& w) {
  const std::int64_t numbers = (w.shape[0] + 15) / 16 * 16 * w.shape[1];
  return static_cast<std::size_t>(w.dtype == DType::f32 ? numbers / 2 * 7 : numbers / 2 * 3);
}

}  // namespace coxswain
