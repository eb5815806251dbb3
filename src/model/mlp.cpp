#include "model/mlp.h"

#include <cmath>

namespace coxswain {

namespace {

// All local shards' rows one below the other.
TensorView stacked(TensorView shards) { return shards.reshape({shards.shape[0] * shards.shape[1], shards.shape[2]}); }

}  // namespace

Mlp::Mlp(const ModelContext& context, const std::string& name)
    : context_(context),
      name_(name),
      up_(context, name + "/up", context.config.hidden, context.config.feed_forward, context.config.bias,
          context.config.initial_deviation),
      down_(context, name + "/down", context.config.feed_forward, context.config.hidden, context.config.bias,
            context.config.initial_deviation / std::sqrt(2.0 * context.config.layers)) {
  if (context.config.gated)
    gate_.emplace(context, name + "/gate", context.config.hidden, context.config.feed_forward, context.config.bias,
                  context.config.initial_deviation);
}

Tensor Mlp::forward(Tensor x, Saved& saved) {
  const Activation activation = context_.config.activation;
  saved.x = std::move(x);
  GatheredRows all(context_, saved.x, up_.outputs_per_shard(), name_.c_str());
  const Shape inner{context_.local_shards(), all.rows().shape[0], up_.outputs_per_shard()};
  saved.up = context_.tensor(inner);
  saved.activated = context_.tensor(inner);
  if (gate_) {
    saved.gate = context_.tensor(inner);
    up_.forward(all, saved.up);
    gate_->forward(all, saved.gate);
    context_.backend.gated(activation, stacked(saved.gate), stacked(saved.up), stacked(saved.activated));
  } else {
    up_.forward(all, saved.up, activation, saved.activated);
  }
  return down_.forward(saved.activated);
}

Tensor Mlp::backward(TensorView ddelta, Saved& saved) {
  const Activation activation = context_.config.activation;
  Tensor dup, dgate;
  if (gate_) {
    const Tensor dactivated = down_.backward(ddelta, saved.activated);
    dup = context_.tensor(saved.up.shape());
    dgate = context_.tensor(saved.up.shape());
    context_.backend.gated_gradient(activation, stacked(saved.gate), stacked(saved.up), stacked(dactivated),
                                    stacked(dgate), stacked(dup));
  } else {
    dup = down_.backward(ddelta, saved.activated, activation, saved.up);
  }
  saved.activated.reset();
  saved.up.reset();
  saved.gate.reset();
  GatheredRows x(context_, saved.x, name_.c_str());  // comes and goes beside products, as in Attention::backward
  ScatteredRows dx(context_, x.rows().shape[0], context_.config.hidden, name_.c_str());
  dx.compute([&](RowBlock, TensorView partials) {
    up_.input_gradient(dup, partials, false);
    if (gate_) gate_->input_gradient(dgate, partials, true);
  });
  up_.weight_gradient(dup, x.all());
  if (gate_) gate_->weight_gradient(dgate, x.all());
  return dx.sum();
}

void Mlp::visit(const ParameterVisitor& visitor) {
  up_.visit(visitor);
  if (gate_) gate_->visit(visitor);
  down_.visit(visitor);
}

}  // namespace coxswain
