#include "model/norm.h"

namespace coxswain {

Norm::Norm(const ModelContext& context, const std::string& name)
    : context_(context), gamma_(make_parameter(context, name + "/weight", {context.config.hidden}, -1)) {
  gamma_.initial = Initial::one;
  if (context.config.norm == NormKind::layer)
    beta_ = make_parameter(context, name + "/bias", {context.config.hidden}, -1);
}

Tensor Norm::forward(Tensor x, Saved& saved) {
  saved.input = std::move(x);
  return normalise(saved.input, {}, saved);
}

Tensor Norm::forward(TensorView x, const Residual& residual, Saved& saved) {
  saved.input = context_.tensor(x.shape);
  return normalise(x, residual, saved);
}

Tensor Norm::normalise(TensorView x, const Residual& residual, Saved& saved) {
  Tensor y = context_.tensor(x.shape);
  saved.stats = Tensor(context_.backend, DType::f32, {x.shape[0], 2});
  Backend::ResidualNorm op;
  op.kind = context_.config.norm;
  op.epsilon = static_cast<float>(context_.config.norm_epsilon);
  op.x = x;
  op.delta = residual.delta;
  op.bias = residual.bias;
  op.dropout = residual.dropout;
  op.gamma = gamma_.value(0);
  if (!beta_.name.empty()) op.beta = beta_.value(0);
  if (residual.delta) op.sum = saved.input;
  op.y = y;
  op.stats = saved.stats;
  context_.backend.residual_norm(op);
  return y;
}

Tensor Norm::backward(TensorView dy, TensorView dresidual, const Saved& saved) {
  Tensor dx = context_.tensor(dy.shape);
  for (int s = 0; s < context_.local_shards(); ++s) {
    Backend::NormGradient op;
    op.kind = context_.config.norm;
    op.x = shard_rows(context_, saved.input, s);
    op.gamma = gamma_.value(0);
    op.stats = shard_rows(context_, saved.stats, s);
    op.dy = shard_rows(context_, dy, s);
    if (dresidual) op.dresidual = shard_rows(context_, dresidual, s);
    op.dx = shard_rows(context_, dx, s);
    op.dgamma = gamma_.gradient(s);
    if (!beta_.name.empty()) op.dbeta = beta_.gradient(s);
    context_.backend.norm_gradient(op);
  }
  return dx;
}

void Norm::visit(const ParameterVisitor& visitor) {
  visitor(gamma_);
  if (!beta_.name.empty()) visitor(beta_);
}

}  // namespace coxswain
