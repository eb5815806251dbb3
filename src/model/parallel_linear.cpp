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

void ColumnParallelLinear::forward(GatheredRows& x, TensorView y, Activation activation, TensorView activated) {
  x.for_each_block([&](RowBlock block) {
    for (int s = 0; s < context_.local_shards(); ++s) {
      LinearEpilogue epilogue;
      if (!bias_.name.empty()) epilogue.bias = bias_.value(s);
      epilogue.activation = activation;
      if (activation != Activation::none) epilogue.activated = block.of(activated[s]);
      context_.backend.linear(block.of(x.rows()), weight_.value(s), block.of(y[s]), epilogue);
    }
  });
}

void ColumnParallelLinear::input_gradient(TensorView dy, TensorView dx_partials, bool add) {
  Backend& backend = context_.backend;
  for (int s = 0; s < context_.local_shards(); ++s) {
    if (!add) {
      backend.linear_input_gradient(dy[s], weight_.value(s), dx_partials[s]);
    } else {
      Tensor dx(backend, dx_partials.dtype, dx_partials.shape.without_first());
      backend.linear_input_gradient(dy[s], weight_.value(s), dx);
      backend.add(dx_partials[s], dx, dx_partials[s]);
    }
  }
}

void ColumnParallelLinear::weight_gradient(TensorView dy, TensorView x) {
  for (int s = 0; s < context_.local_shards(); ++s) {
    context_.backend.linear_weight_gradient(dy[s], x, weight_.gradient(s));
    if (!bias_.name.empty()) context_.backend.bias_gradient(dy[s], bias_.gradient(s));
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
  ScatteredRows y(context_, x.shape[1], outputs_, name_.c_str());
  y.compute_in_blocks([&](RowBlock block, TensorView partials) {
    for (int s = 0; s < context_.local_shards(); ++s)
      context_.backend.linear(block.of(x[s]), weight_.value(s), partials[s]);
  });
  return y.sum();
}

Tensor RowParallelLinear::backward(TensorView dy, TensorView x, Activation activation, TensorView pre_activation) {
  Backend& backend = context_.backend;
  GatheredRows all(context_, dy, x.shape[2], name_.c_str());
  if (!bias_.name.empty())
    for (int s = 0; s < context_.local_shards(); ++s)
      backend.bias_gradient(shard_rows(context_, dy, s), bias_.gradient(s));
  Tensor dx = context_.tensor(x.shape);
  all.for_each_block([&](RowBlock block) {
    for (int s = 0; s < context_.local_shards(); ++s) {
      GradientEpilogue epilogue;
      epilogue.activation = activation;
      if (activation != Activation::none) epilogue.pre_activation = block.of(pre_activation[s]);
      backend.linear_input_gradient(block.of(all.rows()), weight_.value(s), block.of(dx[s]), epilogue);
    }
  });
  for (int s = 0; s < context_.local_shards(); ++s)
    backend.linear_weight_gradient(all.all(), x[s], weight_.gradient(s));
  return dx;
}

void RowParallelLinear::visit(const ParameterVisitor& visitor) {
  visitor(weight_);
  if (!bias_.name.empty()) visitor(bias_);
}

}  // namespace coxswain
