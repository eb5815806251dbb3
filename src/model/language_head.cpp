#include "model/language_head.h"

namespace coxswain {

LanguageHead::LanguageHead(const ModelContext& context) : Head(context) {
  const bool tied = context.config.tied_embeddings;
  projection_ = make_vocabulary_parameter(context, tied ? "embedding/token" : "output/weight");
  projection_.tied_copy = tied;
}

void LanguageHead::forward(Tensor x, const Batch& batch, Saved& saved) {
  Backend& backend = context_.backend;
  const int local_shards = context_.local_shards();
  saved.y = normalise(std::move(x), saved);
  saved.logits = context_.tensor({local_shards, batch.rows(), projection_.shard_extent});
  {
    GatheredRows all(context_, saved.y, projection_.shard_extent, "head");
    all.for_each_block([&](RowBlock block) {
      for (int s = 0; s < local_shards; ++s)
        backend.linear(block.of(all.rows()), projection_.value(s), block.of(saved.logits[s]));
    });
  }
  const Tensor own(backend, DType::f32, {local_shards, batch.rows(), 3});
  for (int s = 0; s < local_shards; ++s)
    backend.cross_entropy_stats(saved.logits[s], batch.targets, first_vocabulary_row(projection_, s),
                                valid_vocabulary_rows(projection_, s), own[s]);
  saved.output = Tensor(backend, DType::f32, {batch.rows()});
  saved.log_sum_exp = Tensor(backend, DType::f32, {batch.rows()});
  GatheredRows all(context_, own.view().reshape({local_shards, batch.rows() * 3}), "cross_entropy");
  backend.cross_entropy_combine(all.all().reshape({context_.shards(), batch.rows(), 3}), saved.output,
                                saved.log_sum_exp);
}

Tensor LanguageHead::backward(TensorView output_gradient, const Batch& batch, Saved& saved) {
  Backend& backend = context_.backend;
  GatheredRows y(context_, saved.y, "head");  // comes and goes beside products, as in Attention::backward
  ScatteredRows dy(context_, batch.rows(), context_.config.hidden, "head");
  dy.compute([&](RowBlock, TensorView partials) {
    for (int s = 0; s < context_.local_shards(); ++s) {
      const TensorView logits = saved.logits[s];  // from here on their gradient
      backend.cross_entropy_gradient(batch.targets, saved.log_sum_exp, output_gradient,
                                     first_vocabulary_row(projection_, s), valid_vocabulary_rows(projection_, s),
                                     logits);
      backend.linear_input_gradient(logits, projection_.value(s), partials[s]);
    }
  });
  for (int s = 0; s < context_.local_shards(); ++s)
    backend.linear_weight_gradient(saved.logits[s], y.all(), projection_.gradient(s));
  saved.logits.reset();
  return normalise_backward(dy.sum(), saved);
}

void LanguageHead::visit(const ParameterVisitor& visitor) {
  if (norm_) norm_->visit(visitor);
  visitor(projection_);
}

}  // namespace coxswain
