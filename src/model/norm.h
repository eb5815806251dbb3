// LayerNorm (Ba et al. 2016) or RMSNorm (Zhang & Sennrich 2019) of rows, fused with the residual sum before it.
//
// sum = x + dropout(delta + bias); y = norm(sum). Rows are this rank's own: nothing here communicates. The parameters'
// gradients are summed shard of rows by shard of rows, and over the shards in the fixed tree (see Gradients).
#pragma once

#include "model/batch.h"
#include "model/parallel_linear.h"
#include "model/tensor_parallel.h"

namespace coxswain {

class Norm {
 public:
  struct Saved {
    Tensor input;  // [m / P_t, h] what the norm saw
    Tensor stats;  // f32 [m / P_t, 2]
  };
  // The block whose output is added to the residual before the norm; empty in front of the first one.
  struct Residual {
    TensorView delta, bias;
    DropoutSpec dropout;
  };

  Norm(const ModelContext& context, const std::string& name);
  // x becomes the norm's input: kept as it is, or added up with the residual's delta.
  Tensor forward(Tensor x, Saved& saved);
  Tensor forward(TensorView x, const Residual& residual, Saved& saved);
  // dresidual: gradient that reaches the norm's input beside the norm; empty for none.
  Tensor backward(TensorView dy, TensorView dresidual, const Saved& saved);
  // y = norm(sum), sum = x + delta + bias; without a delta y = norm(x), and sum is empty. All [m, h].
  void decode(TensorView x, const Residual& residual, TensorView sum, TensorView y) const;
  void visit(const ParameterVisitor& visitor);

 private:
  Tensor normalise(TensorView x, const Residual& residual, Saved& saved);

  const ModelContext& context_;
  Parameter gamma_, beta_;
};

}  // namespace coxswain
