#include "model/layer.h"

#include <fmt/format.h>

namespace coxswain {

namespace {

std::string layer_name(int index) { return fmt::format("layer_{:02}", index); }

}  // namespace

Layer::Layer(const ModelContext& context, int index)
    : context_(context),
      index_(index),
      norm_1_(context, layer_name(index) + "/norm_1"),
      norm_2_(context, layer_name(index) + "/norm_2"),
      attention_(context, layer_name(index) + "/attention", index),
      mlp_(context, layer_name(index) + "/mlp") {}

DropoutSpec Layer::dropout(const Batch& batch, DropoutSite site) const {
  const std::int64_t first_row = context_.local_rows(batch.rows()) * context_.grid.tensor_rank();
  return batch.dropout(context_.config.dropout, site, index_, first_row);
}

Tensor Layer::forward(Tensor x, const Batch& batch, Recompute recompute, Saved& saved) {
  const bool pre = context_.config.norm_position == NormPosition::pre;
  if (recompute != Recompute::full)
    return pre ? forward_pre_norm(std::move(x), batch, recompute, saved)
               : forward_post_norm(std::move(x), batch, recompute, saved);
  saved.input = context_.tensor(x.shape());
  context_.backend.copy(x, saved.input);
  Saved forgotten;
  return pre ? forward_pre_norm(std::move(x), batch, recompute, forgotten)
             : forward_post_norm(std::move(x), batch, recompute, forgotten);
}

Tensor Layer::backward(Tensor dy, const Batch& batch, Saved& saved) {
  const bool pre = context_.config.norm_position == NormPosition::pre;
  if (saved.input) {
    Tensor x = std::move(saved.input);
    pre ? forward_pre_norm(std::move(x), batch, Recompute::none, saved)
        : forward_post_norm(std::move(x), batch, Recompute::none, saved);
  }
  return pre ? backward_pre_norm(std::move(dy), batch, saved) : backward_post_norm(std::move(dy), batch, saved);
}

Tensor Layer::forward_pre_norm(Tensor x, const Batch& batch, Recompute recompute, Saved& saved) {
  Tensor y1 = norm_1_.forward(std::move(x), saved.norm_1);
  const Tensor delta1 = attention_.forward(std::move(y1), batch, recompute, saved.attention);
  Tensor y2 = norm_2_.forward(saved.norm_1.input, {delta1, attention_.bias(), dropout(batch, DropoutSite::attention)},
                              saved.norm_2);
  const Tensor delta2 = mlp_.forward(std::move(y2), saved.mlp);
  Tensor y = context_.tensor(delta2.shape());
  context_.backend.residual_add(saved.norm_2.input, delta2, mlp_.bias(), dropout(batch, DropoutSite::mlp), y);
  return y;
}

Tensor Layer::forward_post_norm(Tensor x, const Batch& batch, Recompute recompute, Saved& saved) {
  const Tensor delta1 = attention_.forward(std::move(x), batch, recompute, saved.attention);
  Tensor y1 = norm_1_.forward(saved.attention.x, {delta1, attention_.bias(), dropout(batch, DropoutSite::attention)},
                              saved.norm_1);
  const Tensor delta2 = mlp_.forward(std::move(y1), saved.mlp);
  return norm_2_.forward(saved.mlp.x, {delta2, mlp_.bias(), dropout(batch, DropoutSite::mlp)}, saved.norm_2);
}

TensorView Layer::behind_dropout(TensorView dsum, const Batch& batch, DropoutSite site, Tensor& memory) {
  const DropoutSpec spec = dropout(batch, site);
  if (spec.probability == 0.0f) return dsum;
  memory = context_.tensor(dsum.shape);
  context_.backend.dropout_gradient(dsum, spec, memory);
  return memory;
}

Tensor Layer::backward_pre_norm(Tensor dy, const Batch& batch, Saved& saved) {
  Tensor memory;
  const Tensor dy2 = mlp_.backward(behind_dropout(dy, batch, DropoutSite::mlp, memory), saved.mlp);
  const Tensor dx1 = norm_2_.backward(dy2, dy, saved.norm_2);
  const Tensor dy1 =
      attention_.backward(behind_dropout(dx1, batch, DropoutSite::attention, memory), batch, saved.attention);
  Tensor dx = norm_1_.backward(dy1, dx1, saved.norm_1);
  saved = Saved();
  return dx;
}

Tensor Layer::backward_post_norm(Tensor dy, const Batch& batch, Saved& saved) {
  Tensor memory;
  const Tensor dsum2 = norm_2_.backward(dy, {}, saved.norm_2);
  const Tensor dx1 = mlp_.backward(behind_dropout(dsum2, batch, DropoutSite::mlp, memory), saved.mlp);
  context_.backend.add(dx1, dsum2, dx1);
  const Tensor dsum1 = norm_1_.backward(dx1, {}, saved.norm_1);
  Tensor dx = attention_.backward(behind_dropout(dsum1, batch, DropoutSite::attention, memory), batch, saved.attention);
  context_.backend.add(dx, dsum1, dx);
  saved = Saved();
  return dx;
}

void Layer::visit(const ParameterVisitor& visitor) {
  norm_1_.visit(visitor);
  attention_.visit(visitor);
  norm_2_.visit(visitor);
  mlp_.visit(visitor);
}

}  // namespace coxswain
