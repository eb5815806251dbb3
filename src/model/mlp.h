// Feed-forward block: down(activation(up x)), or down(activation(gate x) * up x) when gated (Shazeer 2020).
#pragma once

#include <optional>

#include "model/batch.h"
#include "model/parallel_linear.h"

namespace coxswain {

class Mlp {
 public:
  struct Saved {
    Tensor x;          // [m / P_t, h] input
    Tensor up;         // [S / P_t, m, f / S] before the activation
    Tensor gate;       // the same; gated blocks only
    Tensor activated;  // the same: what the down projection saw
  };

  Mlp(const ModelContext& context, const std::string& name);
  // x [m / P_t, h] -> [m / P_t, h], to be added to the residual together with bias()
  Tensor forward(Tensor x, Saved& saved);
  Tensor backward(TensorView ddelta, Saved& saved);
  DecodeRows decode(TensorView x, const DecodeBatch& batch) const;  // [m, h] -> [m, h]
  TensorView bias() const { return down_.bias(); }
  void visit(const ParameterVisitor& visitor);

 private:
  const ModelContext& context_;
  std::string name_;
  ColumnParallelLinear up_;
  std::optional<ColumnParallelLinear> gate_;
  RowParallelLinear down_;
};

}  // namespace coxswain
