#include "model/parallel_linear.h"

namespace coxswain {

namespace {

Parameter weight_parameter(const ModelContext& context, const std::string& name, int inputs, int outputs, int shard_dim,
                           double deviation) {
  Parameter weight = make_parameter(context, name + "/weight", {outputs, inputs}, shard_dim);
  weight.initial = Initial::normal;
  weight.deviation = deviation;
  weight.decay = true;
  return weight;
}

}  // namespace

ColumnParallelLinear::ColumnParallelLinear(const ModelContext& context, const std::string& name, int inputs,
                                           int outputs, bool bias, double deviation)
    : context_(context),
      outputs_per_shard_(outputs / context.shards()),
      weight_(weight_parameter(context, name, inputs, outputs, 0, deviation)) {
  if (bias) bias_ = make_parameter(context, name + "/bias", {outputs}, 0);
}

void ColumnParallelLinear::forward(TensorView x, TensorView y, Activation activation, TensorView activated) {
  for (int s = 0; s < context_.local_shards(); ++s) {
    LinearEpilogue epilogue;
    if (!bias_.name.empty()) epilogue.bias = bias_.value(s);
    epilogue.activation = activation;
    if (activation != Activation::none) epilogue.activated = activated[s];
    context_.backend.linear(x, weight_.value(s), y[s], epilogue);
  }
}

void ColumnParallelLinear::backward(TensorView dy, TensorView x, TensorView dx_partials, bool add) {
  Backend& backend = context_.backend;
  for (int s = 0; s < context_.local_shards(); ++s) {
    backend.linear_weight_gradient(dy[s], x, weight_.gradient(s));
    if (!bias_.name.empty()) backend.bias_gradient(dy[s], bias_.gradient(s));
    if (!add) {
      backend.linear_input_gradient(dy[s], weight_.value(s), dx_partials[s]);
    } else {
      Tensor dx(backend, dx_partials.dtype, dx_partials.shape.without_first());
      backend.linear_input_gradient(dy[s], weight_.value(s), dx);
      backend.add(dx_partials[s], dx, dx_partials[s]);
    }
  }
}

void ColumnParallelLinear::visit(const ParameterVisitor& visitor) {
  visitor(weight_);
  if (!bias_.name.empty()) visitor(bias_);
}

RowParallelLinear::RowParallelLinear(const ModelContext& context, const std::string& name, int inputs, int outputs,
                                     bool bias, double deviation)
    : context_(context),
      outputs_(outputs),
      name_(name),
      weight_(weight_parameter(context, name, inputs, outputs, 1, deviation)) {
  if (bias) bias_ = make_parameter(context, name + "/bias", {outputs}, -1);
}

Tensor RowParallelLinear::forward(TensorView x) {
  Tensor partials = context_.tensor({context_.local_shards(), x.shape[1], outputs_});
  for (int s = 0; s < context_.local_shards(); ++s) context_.backend.linear(x[s], weight_.value(s), partials[s]);
  return sum_and_scatter_rows(context_, std::move(partials), name_.c_str());
}

Tensor RowParallelLinear::backward(TensorView dy, TensorView x, Activation activation, TensorView pre_activation) {
  Backend& backend = context_.backend;
  if (!bias_.name.empty())
    for (int s = 0; s < context_.local_shards(); ++s)
      backend.bias_gradient(shard_rows(context_, dy, s), bias_.gradient(s));
  const Gathered all = gather_rows(context_, dy, name_.c_str());
  Tensor dx = context_.tensor(x.shape);
  for (int s = 0; s < context_.local_shards(); ++s) {
    backend.linear_weight_gradient(all.view, x[s], weight_.gradient(s));
    GradientEpilogue epilogue;
    epilogue.activation = activation;
    if (activation != Activation::none) epilogue.pre_activation = pre_activation[s];
    backend.linear_input_gradient(all.view, weight_.value(s), dx[s], epilogue);
  }
  return dx;
}

void RowParallelLinear::visit(const ParameterVisitor& visitor) {
  visitor(weight_);
  if (!bias_.name.empty()) visitor(bias_);
}

}  // namespace coxswain
