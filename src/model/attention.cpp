#include "model/attention.h"

#include <cmath>

namespace coxswain {

namespace {

int qkv_outputs(const ModelConfig& config) { return (config.heads + 2 * config.kv_heads) * config.head_size; }

}  // namespace

Attention::Attention(const ModelContext& context, const std::string& name, int layer)
    : context_(context),
      layer_(layer),
      query_heads_(context.config.heads / context.shards()),
      kv_heads_(context.config.kv_heads / context.shards()),
      head_size_(context.config.head_size),
      name_(name),
      qkv_(context, name + "/qkv", context.config.hidden, qkv_outputs(context.config), context.config.bias,
           context.config.initial_deviation),
      projection_(context, name + "/projection", context.config.heads * context.config.head_size, context.config.hidden,
                  context.config.bias, context.config.initial_deviation / std::sqrt(2.0 * context.config.layers)) {}

// Every `step`-th head of [b * t, all heads of a shard x d], from `first`.
TensorView Attention::heads(TensorView qkv_shard, const Batch& batch, std::int64_t first, std::int64_t count,
                            std::int64_t step) const {
  const std::int64_t row = qkv_shard.shape[1];
  TensorView view = qkv_shard.slice(1, first * head_size_, head_size_);
  view.shape = {batch.sequences, batch.length, count, head_size_};
  view.strides = {batch.length * row, row, step * head_size_, 1};
  return view;
}

Attention::HeadSet Attention::qkv_heads(TensorView qkv_shard, const Batch& batch, int set) const {
  const std::int64_t queries = query_heads_ / kv_heads_;  // of a group
  const std::int64_t first = set * (queries + 2);
  const std::int64_t groups = kv_heads_ / head_sets();  // in this set: all of them if each has one query head
  HeadSet heads_of_set;
  heads_of_set.q = heads(qkv_shard, batch, first, groups * queries, queries == 1 ? 3 : 1);
  heads_of_set.k = heads(qkv_shard, batch, first + queries, groups, queries + 2);
  heads_of_set.v = heads(qkv_shard, batch, first + queries + 1, groups, queries + 2);
  return heads_of_set;
}

Attention::HeadSet Attention::head_set(const Saved& saved, const Batch& batch, int shard, int set) const {
  HeadSet all = qkv_heads(saved.qkv[shard], batch, set);
  const std::int64_t count = query_heads_ / head_sets();
  all.out = heads(saved.out[shard], batch, set * count, count, 1);
  all.log_sum_exp = saved.log_sum_exp[shard][set];
  return all;
}

AttentionMask Attention::mask_of(const Batch& batch) const {
  AttentionMask mask;
  mask.band = context_.config.band_of_layer(layer_);
  if (batch.document_start) mask.document_start = batch.document_start;
  return mask;
}

void Attention::rotate(TensorView qkv, const Batch& batch, int direction) {
  if (context_.config.positions != PositionKind::rotary) return;
  for (int s = 0; s < context_.local_shards(); ++s)
    for (int set = 0; set < head_sets(); ++set) {
      const HeadSet part = qkv_heads(qkv[s], batch, set);
      context_.backend.rotary(part.q, batch.positions, context_.config.rotary_base, direction);
      context_.backend.rotary(part.k, batch.positions, context_.config.rotary_base, direction);
    }
}

void Attention::attend(const Batch& batch, Saved& saved) {
  const std::int64_t count = query_heads_ / head_sets();
  saved.out = context_.tensor({context_.local_shards(), batch.rows(), query_heads_ * head_size_});
  saved.log_sum_exp = Tensor(context_.backend, DType::f32,
                             {context_.local_shards(), head_sets(), batch.sequences, count, batch.length});
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_size_)));
  for (int s = 0; s < context_.local_shards(); ++s)
    for (int set = 0; set < head_sets(); ++set) {
      const HeadSet part = head_set(saved, batch, s, set);
      context_.backend.attention(part.q, part.k, part.v, mask_of(batch), scale, part.out, part.log_sum_exp);
    }
}

Tensor Attention::forward(Tensor x, const Batch& batch, Recompute recompute, Saved& saved) {
  saved.x = std::move(x);
  {
    GatheredRows all(context_, saved.x, qkv_.outputs_per_shard(), name_.c_str());
    saved.qkv = context_.tensor({context_.local_shards(), batch.rows(), qkv_.outputs_per_shard()});
    qkv_.forward(all, saved.qkv);
  }
  rotate(saved.qkv, batch, +1);
  attend(batch, saved);
  Tensor delta = projection_.forward(saved.out);
  if (recompute == Recompute::selective) {
    saved.out.reset();
    saved.log_sum_exp.reset();
  }
  return delta;
}

Tensor Attention::backward(TensorView ddelta, const Batch& batch, Saved& saved) {
  if (!saved.out) attend(batch, saved);
  const Tensor dout = projection_.backward(ddelta, saved.out);
  const Tensor dqkv = context_.tensor(saved.qkv.shape());
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_size_)));
  for (int s = 0; s < context_.local_shards(); ++s)
    for (int set = 0; set < head_sets(); ++set) {
      const HeadSet part = head_set(saved, batch, s, set);
      const HeadSet gradient = qkv_heads(dqkv[s], batch, set);
      const std::int64_t count = query_heads_ / head_sets();
      Backend::AttentionGradient op;
      op.q = part.q;
      op.k = part.k;
      op.v = part.v;
      op.out = part.out;
      op.log_sum_exp = part.log_sum_exp;
      op.dout = heads(dout[s], batch, set * count, count, 1);
      op.mask = mask_of(batch);
      op.scale = scale;
      op.dq = gradient.q;
      op.dk = gradient.k;
      op.dv = gradient.v;
      context_.backend.attention_gradient(op);
    }
  rotate(dqkv, batch, -1);
  saved.out.reset();
  saved.qkv.reset();
  // One product beside each transfer: x comes beside the first, dx leaves beside the second.
  GatheredRows x(context_, saved.x, name_.c_str());
  ScatteredRows dx(context_, batch.rows(), context_.config.hidden, name_.c_str());
  dx.compute([&](RowBlock, TensorView partials) { qkv_.input_gradient(dqkv, partials, false); });
  qkv_.weight_gradient(dqkv, x.all());
  return dx.sum();
}

void Attention::visit(const ParameterVisitor& visitor) {
  qkv_.visit(visitor);
  projection_.visit(visitor);
}

}  // namespace coxswain
