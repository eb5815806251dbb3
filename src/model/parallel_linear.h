// Linear layers cut over tensor shards (Shoeybi et al. 2019), shard by shard so that the grid never changes a bit.
//
// ColumnParallelLinear cuts the outputs: y_s = x W_s^T + b_s, dx = sum over shards of dy_s W_s (fixed tree).
// RowParallelLinear cuts the inputs: y = sum over shards of x_s W_s^T (fixed tree); its bias is added by whoever adds
// the residual, dx_s = dy W_s. Both are collective over grid.tensor() where rows are gathered or summed.
#pragma once

#include <functional>
#include <string>

#include "model/decode_batch.h"
#include "model/tensor_parallel.h"

namespace coxswain {

using ParameterVisitor = std::function<void(Parameter&)>;

class ColumnParallelLinear {
 public:
  // weight [outputs, inputs], bias [outputs] if asked for
  ColumnParallelLinear(const ModelContext& context, const std::string& name, int inputs, int outputs, bool bias,
                       double deviation);
  // x [m, k], gathered for as many columns -> y [S / P_t, m, n / S]; with an activation also `activated`, of y's shape
  void forward(GatheredRows& x, TensorView y, Activation activation = Activation::none, TensorView activated = {});
  // dy [S / P_t, m, n / S] -> partial input gradients [S / P_t, m, k]: assigned, or added to what is there
  void input_gradient(TensorView dy, TensorView dx_partials, bool add);
  void weight_gradient(TensorView dy, TensorView x);  // x [m, k]
  // x [m, h] -> y [S / P_t, m, n / S], activated; every row as if it were alone
  void decode(TensorView x, TensorView y, Activation activation = Activation::none) const;
  void visit(const ParameterVisitor& visitor);
  int outputs_per_shard() const { return outputs_per_shard_; }

 private:
  const ModelContext& context_;
  int outputs_per_shard_;
  Parameter weight_, bias_;
};

class RowParallelLinear {
 public:
  RowParallelLinear(const ModelContext& context, const std::string& name, int inputs, int outputs, bool bias,
                    double deviation);
  // x [S / P_t, m, k / S] -> [m / P_t, n], without bias
  Tensor forward(TensorView x);
  // dy [m / P_t, n]; x as in forward -> dx [S / P_t, m, k / S]. With an activation, x = activation(pre_activation) and
  // dx is the gradient of pre_activation.
  Tensor backward(TensorView dy, TensorView x, Activation activation = Activation::none,
                  TensorView pre_activation = {});
  // x [S / P_t, m, k / S] -> [m, n] on every tensor rank, without bias
  DecodeRows decode(TensorView x, const DecodeBatch& batch) const;
  TensorView bias() const { return bias_.name.empty() ? TensorView() : bias_.value(0); }  // [n] or empty
  void visit(const ParameterVisitor& visitor);

 private:
  const ModelContext& context_;
  int outputs_;
  std::string name_;
  Parameter weight_, bias_;
};

}  // namespace coxswain
