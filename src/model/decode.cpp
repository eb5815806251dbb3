// The forward pass of rows at any positions, against a cache of keys and values: what generation runs, module by module
// from the embedding to the logits. The arithmetic is the training path's, without dropout and without anything kept.
#include <cmath>

#include "model/decode_batch.h"
#include "model/kv_cache.h"
#include "model/language_head.h"
#include "model/stage.h"
#include "parallel/ordered_reduce.h"

namespace coxswain {

DecodeRows::DecodeRows(Tensor memory, const Shape& shape)
    : owned(std::move(memory)), view(owned.view().data, owned.dtype(), shape) {}

DecodeRows::DecodeRows(const ModelContext& context, const DecodeBatch& batch, std::int64_t columns)
    : DecodeRows(context.tensor({batch.capacity * columns}), {batch.rows, columns}) {}

DecodeRows::DecodeRows(const ModelContext& context, const DecodeBatch& batch, std::int64_t parts, std::int64_t columns)
    : DecodeRows(context.tensor({parts * batch.capacity * columns}), {parts, batch.rows, columns}) {}

DecodeRows sum_over_shards(const ModelContext& context, DecodeRows partials, const char* name) {
  const TensorView all = partials.view;
  partials.view = all[0];
  if (context.shards() > 1)
    ordered_all_reduce(context.backend, context.grid.tensor(), all, context.shards(), partials.view, name);
  return partials;
}

void ColumnParallelLinear::decode(TensorView x, TensorView y, Activation activation) const {
  for (int s = 0; s < context_.local_shards(); ++s)
    context_.backend.linear_rows(x, weight_.value(s), bias_.name.empty() ? TensorView() : bias_.value(s), activation,
                                 y[s]);
}

DecodeRows RowParallelLinear::decode(TensorView x, const DecodeBatch& batch) const {
  DecodeRows partials(context_, batch, context_.local_shards(), outputs_);
  for (int s = 0; s < context_.local_shards(); ++s)
    context_.backend.linear_rows(x[s], weight_.value(s), {}, Activation::none, partials.view[s]);
  return sum_over_shards(context_, std::move(partials), name_.c_str());
}

void Norm::decode(TensorView x, const Residual& residual, TensorView sum, TensorView y) const {
  const Tensor stats(context_.backend, DType::f32, {x.shape[0], 2});
  Backend::ResidualNorm op;
  op.kind = context_.config.norm;
  op.epsilon = static_cast<float>(context_.config.norm_epsilon);
  op.x = x;
  op.delta = residual.delta;
  op.bias = residual.bias;
  op.gamma = gamma_.value(0);
  if (!beta_.name.empty()) op.beta = beta_.value(0);
  op.sum = sum;
  op.y = y;
  op.stats = stats;
  context_.backend.residual_norm(op);
}

DecodeRows Attention::decode(TensorView x, const DecodeBatch& batch, const KvCache& cache, int layer) {
  const DecodeRows qkv(context_, batch, context_.local_shards(), qkv_.outputs_per_shard());
  const DecodeRows out(context_, batch, context_.local_shards(), std::int64_t{query_heads_} * head_size_);
  qkv_.decode(x, qkv);
  Batch line;  // the rows as one sequence: heads are found as in training
  line.sequences = 1;
  line.length = static_cast<int>(batch.rows);
  const TensorView positions = batch.positions.reshape({1, batch.rows});
  for (int s = 0; s < context_.local_shards(); ++s)
    for (int set = 0; set < head_sets(); ++set) {
      const HeadSet part = qkv_heads(qkv.view[s], line, set);
      if (context_.config.positions == PositionKind::rotary) {
        context_.backend.rotary(part.q, positions, context_.config.rotary_base, +1);
        context_.backend.rotary(part.k, positions, context_.config.rotary_base, +1);
      }
      const std::int64_t queries = query_heads_ / head_sets(), groups = kv_heads_ / head_sets();
      Backend::CachedAttention op;
      op.q = part.q[0];
      op.k = part.k[0];
      op.v = part.v[0];
      op.slots = batch.slots;
      op.positions = batch.positions;
      op.keys = cache.keys(layer, s).slice(1, set * groups, groups);
      op.values = cache.values(layer, s).slice(1, set * groups, groups);
      op.band = context_.config.band_of_layer(layer_);
      op.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_size_)));
      op.out = heads(out.view[s], line, set * queries, queries, 1)[0];
      context_.backend.cached_attention(op);
    }
  return projection_.decode(out, batch);
}

DecodeRows Mlp::decode(TensorView x, const DecodeBatch& batch) const {
  const Activation activation = context_.config.activation;
  const DecodeRows up(context_, batch, context_.local_shards(), up_.outputs_per_shard());
  if (!gate_) {
    up_.decode(x, up, activation);
    return down_.decode(up, batch);
  }
  const DecodeRows gate(context_, batch, context_.local_shards(), up_.outputs_per_shard());
  up_.decode(x, up);
  gate_->decode(x, gate);
  const Shape stacked{context_.local_shards() * batch.rows, up_.outputs_per_shard()};
  context_.backend.gated(activation, gate.view.reshape(stacked), up.view.reshape(stacked), up.view.reshape(stacked));
  return down_.decode(up, batch);
}

DecodeRows Layer::decode(DecodeRows x, const DecodeBatch& batch, const KvCache& cache, int layer) {
  const std::int64_t h = context_.config.hidden;
  if (context_.config.norm_position == NormPosition::post) {
    DecodeRows sum(context_, batch, h), y(context_, batch, h);
    const DecodeRows delta1 = attention_.decode(x, batch, cache, layer);
    norm_1_.decode(x, {delta1, attention_.bias(), {}}, sum, y);
    const DecodeRows delta2 = mlp_.decode(y, batch);
    norm_2_.decode(y, {delta2, mlp_.bias(), {}}, sum, x);
    return x;
  }
  DecodeRows x1(context_, batch, h), y(context_, batch, h);
  norm_1_.decode(x, {}, {}, y);
  const DecodeRows delta1 = attention_.decode(y, batch, cache, layer);
  norm_2_.decode(x, {delta1, attention_.bias(), {}}, x1, y);
  const DecodeRows delta2 = mlp_.decode(y, batch);
  context_.backend.residual_add(x1, delta2, mlp_.bias(), {}, x);
  return x;
}

DecodeRows Embedding::decode(const DecodeBatch& batch) const {
  Backend& backend = context_.backend;
  const std::int64_t h = context_.config.hidden;
  DecodeRows partials(context_, batch, context_.local_shards(), h);
  for (int s = 0; s < context_.local_shards(); ++s)
    backend.embedding(batch.tokens, table_.value(s), first_vocabulary_row(table_, s), partials.view[s]);
  DecodeRows x = sum_over_shards(context_, std::move(partials), "embedding");
  if (positions_.name.empty()) return x;
  const DecodeRows place(context_, batch, h);
  backend.embedding(batch.positions, positions_.value(0), 0, place);
  backend.add(x, place, x);
  return x;
}

DecodeRows LanguageHead::decode(TensorView x, const DecodeBatch& batch) const {
  Backend& backend = context_.backend;
  const std::int64_t wanted = batch.sampled.shape[0], columns = projection_.shard_extent, h = context_.config.hidden;
  const auto rows_of = [&](std::int64_t shards, std::int64_t width, DType type) {
    return DecodeRows(Tensor(backend, type, {shards * batch.sampled_capacity * width}), {shards, wanted, width});
  };
  const DecodeRows rows = rows_of(1, h, context_.working_type()), normed = rows_of(1, h, context_.working_type());
  backend.embedding(batch.sampled, x, 0, rows.view[0]);  // picks rows
  if (norm_) norm_->decode(rows.view[0], {}, {}, normed.view[0]);
  DecodeRows own = rows_of(context_.local_shards(), columns, DType::f32);
  for (int s = 0; s < context_.local_shards(); ++s)
    backend.linear_rows((norm_ ? normed : rows).view[0], projection_.value(s), {}, Activation::none, own.view[s]);
  Communicator& group = context_.grid.tensor();
  if (group.size() == 1) return own;
  DecodeRows all = rows_of(context_.shards(), columns, DType::f32);
  backend.apart([&group, from = own.view.flat(), to = all.view.reshape({group.size(), own.view.elements()})] {
    group.all_gather(from, to, "logits");
  });
  return all;
}

DecodeRows Stage::decode(DecodeRows x, const DecodeBatch& batch, const KvCache& cache) {
  if (embedding_) x = use_embedding().decode(batch);
  for (std::size_t i = 0; i < layers_.size(); ++i)
    x = use_layer(i).decode(std::move(x), batch, cache, static_cast<int>(i));
  if (!head_) return x;
  return dynamic_cast<const LanguageHead&>(use_head()).decode(x, batch);
}

}  // namespace coxswain
