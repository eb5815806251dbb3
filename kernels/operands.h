// What operations are told beside their views: kinds, epilogues, keys of random numbers, the optimizer's numbers.
#pragma once

#include <cstdint>

#include "kernels/view.h"

namespace coxswain {

// The three products of a linear layer: y = x w^T, dx = dy w, dw += dy^T x.
enum class LinearProduct { forward, input_gradient, weight_gradient };

enum class NormKind { layer, rms };
enum class Activation { none, gelu, silu };  // gelu is the tanh form of GPT-2
enum class RankingKind { pairwise, best_of_n };

// A family of random numbers: Philox 4x32-10, counter = global element index, key = (seed, stream).
struct RandomKey {
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
};

// Residual dropout. Row r, column c of the view is the global element (first_row + r) * columns + c.
struct DropoutSpec {
  float probability = 0.0f;
  RandomKey key;
  std::int64_t first_row = 0;
};

// Which keys a query may see, beside causality (always on): the band of GPT-3's sparse layers, and document borders.
struct AttentionMask {
  std::int64_t band = 0;      // query i sees keys i - band < j <= i; 0: all keys j <= i
  TensorView document_start;  // i32 [b, t] or empty: index of the first token of the token's own document
};

struct LinearEpilogue {
  TensorView bias;  // [n] or empty: added to the product
  Activation activation = Activation::none;
  TensorView activated;  // [m, n]: activation(y), if an activation is asked for
};

struct GradientEpilogue {
  Activation activation = Activation::none;
  TensorView pre_activation;  // [m, k]: dx = (dy w) * activation'(pre_activation)
};

struct AdamWStep {
  float learning_rate = 0;
  float beta1 = 0.9f;
  float beta2 = 0.95f;
  float epsilon = 1e-8f;
  float weight_decay = 0;  // decoupled: w -= learning_rate * weight_decay * w
  std::int64_t step = 1;   // for the bias corrections, from 1
};

}  // namespace coxswain
