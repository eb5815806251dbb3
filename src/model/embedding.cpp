#include "model/embedding.h"

#include <algorithm>

namespace coxswain {

Parameter make_vocabulary_parameter(const ModelContext& context, const std::string& name) {
  const ModelConfig& config = context.config;
  Parameter table =
      make_parameter(context, name, {config.vocabulary, config.hidden}, 0, config.padded_vocabulary(context.shards()));
  table.initial = Initial::normal;
  table.deviation = config.initial_deviation;
  table.decay = true;
  return table;
}

std::int64_t first_vocabulary_row(const Parameter& table, int local_shard) {
  return (table.first_shard + local_shard) * table.shard_extent;
}

std::int64_t valid_vocabulary_rows(const Parameter& table, int local_shard) {
  const std::int64_t left = table.global_shape[0] - first_vocabulary_row(table, local_shard);
  return std::clamp<std::int64_t>(left, 0, table.shard_extent);
}

Embedding::Embedding(const ModelContext& context)
    : context_(context), table_(make_vocabulary_parameter(context, "embedding/token")) {
  table_.picked = true;
  if (context.config.positions != PositionKind::learned) return;
  positions_ = make_parameter(context, "embedding/position", {context.config.context, context.config.hidden}, -1);
  positions_.picked = true;
  positions_.initial = Initial::normal;
  positions_.deviation = context.config.initial_deviation;
  positions_.decay = true;
}

DropoutSpec Embedding::dropout(const Batch& batch) const {
  const std::int64_t first_row = context_.local_rows(batch.rows()) * context_.grid.tensor_rank();
  return batch.dropout(context_.config.embedding_dropout, DropoutSite::embedding, 0, first_row);
}

TensorView Embedding::local_positions(const Batch& batch) const {
  const std::int64_t rows = context_.local_rows(batch.rows());
  return batch.positions.view().flat().slice(0, rows * context_.grid.tensor_rank(), rows);
}

Tensor Embedding::forward(const Batch& batch) {
  Backend& backend = context_.backend;
  ScatteredRows places(context_, batch.rows(), context_.config.hidden, "embedding");
  places.compute([&](RowBlock, TensorView partials) {
    for (int s = 0; s < context_.local_shards(); ++s)
      backend.embedding(batch.tokens, table_.value(s), first_vocabulary_row(table_, s), partials[s]);
  });
  Tensor x = places.sum();
  if (!positions_.name.empty()) {
    const Tensor place = context_.tensor(x.shape());
    backend.embedding(local_positions(batch), positions_.value(0), 0, place);
    backend.add(x, place, x);
  }
  const DropoutSpec spec = dropout(batch);
  if (spec.probability == 0.0f) return x;
  Tensor dropped = context_.tensor(x.shape());
  backend.dropout_gradient(x, spec, dropped);  // a dropout is linear: it is its own gradient
  return dropped;
}

void Embedding::backward(TensorView dy, const Batch& batch) {
  Backend& backend = context_.backend;
  const DropoutSpec spec = dropout(batch);
  Tensor memory;
  TensorView dx = dy;
  if (spec.probability != 0.0f) {
    memory = context_.tensor(dy.shape);
    backend.dropout_gradient(dy, spec, memory);
    dx = memory;
  }
  if (!positions_.name.empty()) {
    const TensorView where = local_positions(batch);
    for (int s = 0; s < context_.local_shards(); ++s)
      backend.embedding_gradient(shard_rows(context_, where, s), shard_rows(context_, dx, s), 0,
                                 positions_.gradient(s));
  }
  GatheredRows all(context_, dx, "embedding");
  for (int s = 0; s < context_.local_shards(); ++s)
    backend.embedding_gradient(batch.tokens, all.all(), first_vocabulary_row(table_, s), table_.gradient(s));
}

void Embedding::visit(const ParameterVisitor& visitor) {
  visitor(table_);
  if (!positions_.name.empty()) visitor(positions_);
}

}  // namespace coxswain
