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
  const Gathered all = gather_rows(context_, saved.x, name_.c_str());
  const Shape inner{context_.local_shards(), all.view.shape[0], up_.outputs_per_shard()};
  saved.up = context_.tensor(inner);
  saved.activated = context_.tensor(inner);
  if (gate_) {
    saved.gate = context_.tensor(inner);
    up_.forward(all.view, saved.up);
    gate_->forward(all.view, saved.gate);
    context_.backend.gated(activation, stacked(saved.gate), stacked(saved.up), stacked(saved.activated));
  } else {
    up_.forward(all.view, saved.up, activation, saved.activated);
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
  const Gathered all = gather_rows(context_, saved.x, name_.c_str());
  Tensor dx = context_.tensor({context_.local_shards(), all.view.shape[0], context_.config.hidden});
  up_.backward(dup, all.view, dx, false);
  if (gate_) gate_->backward(dgate, all.view, dx, true);
  return sum_and_scatter_rows(context_, std::move(dx), name_.c_str());
}

void Mlp::visit(const ParameterVisitor& visitor) {
  up_.visit(visitor);
  if (gate_) gate_->visit(visitor);
  down_.visit(visitor);
}

}  // namespace coxswain
