#include "model/scalar_head.h"

#include <cmath>

namespace coxswain {

ScalarHead::ScalarHead(const ModelContext& context)
    : Head(context),
      weight_(make_parameter(context, kScoreWeight, {context.config.hidden}, -1)),
      bias_(make_parameter(context, kScoreBias, {1}, -1)) {
  weight_.initial = Initial::normal;
  weight_.deviation = 1.0 / std::sqrt(context.config.hidden + 1.0);  // Ziegler et al. 2019
  weight_.decay = true;
}

void ScalarHead::forward(Tensor x, const Batch& batch, Saved& saved) {
  saved.y = normalise(std::move(x), saved);
  const Tensor own(context_.backend, DType::f32, {context_.local_rows(batch.rows())});
  context_.backend.scalar_projection(saved.y, weight_.value(0), bias_.value(0), own);
  GatheredRows all(context_, own.view().reshape({own.shape()[0], 1}), "scores");
  saved.output = Tensor(context_.backend, DType::f32, {batch.rows()});
  context_.backend.copy(all.all().flat(), saved.output);
}

Tensor ScalarHead::backward(TensorView output_gradient, const Batch& batch, Saved& saved) {
  const std::int64_t rows = context_.local_rows(batch.rows());
  const TensorView own = output_gradient.slice(0, rows * context_.grid.tensor_rank(), rows);
  Tensor dy = context_.tensor(saved.y.shape());
  for (int s = 0; s < context_.local_shards(); ++s) {
    Backend::ScalarProjectionGradient op;
    op.dout = shard_rows(context_, own, s);
    op.y = shard_rows(context_, saved.y, s);
    op.w = weight_.value(0);
    op.dy = shard_rows(context_, dy, s);
    op.dw = weight_.gradient(s);
    op.dbias = bias_.gradient(s);
    context_.backend.scalar_projection_gradient(op);
  }
  return normalise_backward(std::move(dy), saved);
}

void ScalarHead::visit(const ParameterVisitor& visitor) {
  if (norm_) norm_->visit(visitor);
  visitor(weight_);
  visitor(bias_);
}

}  // namespace coxswain
