#include "model/mlp.h"

#include <cmath>

namespace coxswain {

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
    context_.backend.gated(activation, saved.gate.view().flat(), saved.up.view().flat(), saved.activated.view().flat());
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
    context_.backend.gated_gradient(activation, saved.gate.view().flat(), saved.up.view().flat(),
                                    dactivated.view().flat(), dgate.view().flat(), dup.view().flat());
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
