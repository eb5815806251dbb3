// One decoder layer: attention and feed-forward, each with a norm and a residual sum.
//
// pre-norm (GPT-2, GPT-3, LLaMA): x1 = x + attention(norm_1(x)); y = x1 + mlp(norm_2(x1))
// post-norm (GPT-1):              x1 = norm_1(x + attention(x)); y = norm_2(x1 + mlp(x1))
#pragma once

#include "model/attention.h"
#include "model/mlp.h"
#include "model/norm.h"

namespace coxswain {

class Layer {
 public:
  // What forward keeps. With full recomputation only the layer's input, from which backward runs forward again.
  struct Saved {
    Tensor input;
    Norm::Saved norm_1, norm_2;
    Attention::Saved attention;
    Mlp::Saved mlp;
  };

  Layer(const ModelContext& context, int index);
  Tensor forward(Tensor x, const Batch& batch, Recompute recompute, Saved& saved);  // [m / P_t, h] -> the same
  Tensor backward(Tensor dy, const Batch& batch, Saved& saved);                     // dy -> dx; empties saved
  DecodeRows decode(DecodeRows x, const DecodeBatch& batch, const KvCache& cache, int layer);  // [m, h] -> [m, h]
  void visit(const ParameterVisitor& visitor);

 private:
  Tensor forward_pre_norm(Tensor x, const Batch& batch, Recompute recompute, Saved& saved);
  Tensor forward_post_norm(Tensor x, const Batch& batch, Recompute recompute, Saved& saved);
  Tensor backward_pre_norm(Tensor dy, const Batch& batch, Saved& saved);
  Tensor backward_post_norm(Tensor dy, const Batch& batch, Saved& saved);
  DropoutSpec dropout(const Batch& batch, DropoutSite site) const;
  // The gradient behind a residual sum's dropout: dsum itself where there is no dropout.
  TensorView behind_dropout(TensorView dsum, const Batch& batch, DropoutSite site, Tensor& memory);

  const ModelContext& context_;
  int index_;
  Norm norm_1_, norm_2_;
  Attention attention_;
  Mlp mlp_;
};

}  // namespace coxswain
