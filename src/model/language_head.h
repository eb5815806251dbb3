// Output projection over a vocabulary in shards, and -log p(target) of every token.
//
// Each shard reduces its logits to (maximum, sum of exponentials, target logit) a row; these few numbers are gathered
// and combined in shard order. The gradient overwrites the logits. Collective over grid.tensor().
#pragma once

#include "model/embedding.h"
#include "model/head.h"

namespace coxswain {

class LanguageHead final : public Head {
 public:
  explicit LanguageHead(const ModelContext& context);
  void forward(Tensor x, const Batch& batch, Saved& saved) override;
  Tensor backward(TensorView output_gradient, const Batch& batch, Saved& saved) override;
  void visit(const ParameterVisitor& visitor) override;
  // x [m, h] -> logits f32 [S, s, v / S] of the batch's sampled rows, on every tensor rank
  DecodeRows decode(TensorView x, const DecodeBatch& batch) const;

 private:
  Parameter projection_;  // tied: the token embedding's values with a gradient of their own
};

}  // namespace coxswain
