// The language-model head: final norm, output projection over a vocabulary in shards, cross-entropy of every token.
//
// Each shard reduces its logits to (maximum, sum of exponentials, target logit) a row; these few numbers are gathered
// and combined in shard order. The gradient overwrites the logits. Collective over grid.tensor().
#pragma once

#include <optional>
#include <vector>

#include "model/embedding.h"
#include "model/norm.h"

namespace coxswain {

class Head {
 public:
  struct Saved {
    Norm::Saved norm;
    Tensor y;            // [m / P_t, h] what the projection saw
    Tensor logits;       // [S / P_t, m, v / S]
    Tensor token_loss;   // f32 [m], -log p(target)
    Tensor log_sum_exp;  // f32 [m]
  };

  explicit Head(const ModelContext& context);
  void forward(Tensor x, const Batch& batch, Saved& saved);  // x [m / P_t, h]
  // token_weights f32 [m]: dLoss / dtoken_loss. Returns dx [m / P_t, h].
  Tensor backward(TensorView token_weights, const Batch& batch, Saved& saved);
  // The logits of one row over the whole vocabulary, on the host of every tensor rank.
  std::vector<float> row_logits(const Saved& saved, std::int64_t row) const;
  void visit(const ParameterVisitor& visitor);
  Parameter& projection() { return projection_; }

 private:
  const ModelContext& context_;
  std::optional<Norm> norm_;  // post-norm layers end in a norm of their own
  Parameter projection_;      // tied: the token embedding's values with a gradient of their own
};

}  // namespace coxswain
