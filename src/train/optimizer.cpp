#include "train/optimizer.h"

namespace coxswain {

Optimizer::Optimizer(Model& model, MasterWeights& weights, const OptimizerConfig& config)
    : model_(model), weights_(weights), config_(config) {
  Backend& backend = model.context().backend;
  const MemoryScope scope(backend, MemoryKind::optimizer);
  for (const MasterWeights::Slice& slice : weights.slices()) {
    const Shape shape{slice.buffer->own_elements()};
    moments_.push_back({Tensor(backend, DType::f32, shape), Tensor(backend, DType::f32, shape)});
  }
  reset();
}

void Optimizer::reset() {
  updates_ = 0;
  for (const Moments& moments : moments_) {
    model_.context().backend.fill(moments.first, 0.0);
    model_.context().backend.fill(moments.second, 0.0);
  }
}

void Optimizer::step(double learning_rate, TensorView scale) {
  Backend::AdamW op;
  op.step.learning_rate = static_cast<float>(learning_rate);
  op.step.beta1 = static_cast<float>(config_.beta1);
  op.step.beta2 = static_cast<float>(config_.beta2);
  op.step.epsilon = static_cast<float>(config_.epsilon);
  op.step.step = updates_ + 1;
  op.scale = scale;
  model_.await_values();  // of the update before
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    const MasterWeights::Slice& slice = weights_.slices()[i];
    const TensorView gradient = slice.buffer->own_gradients();
    for (const OwnedPart& part : slice.buffer->own_parts()) {
      op.gradient = gradient.slice(0, part.offset, part.elements());
      op.master = slice.values.slice(0, part.offset, part.elements());
      op.moment1 = moments_[i].first.view().slice(0, part.offset, part.elements());
      op.moment2 = moments_[i].second.view().slice(0, part.offset, part.elements());
      op.working = slice.working(part.offset, part.elements());
      op.step.weight_decay = part.unit->parameter->decay ? static_cast<float>(config_.weight_decay) : 0.0f;
      model_.context().backend.adamw(op);
    }
    gather_values(model_, *slice.buffer);
  }
}

void Optimizer::visit(Archive& archive) {
  archive.value("optimizer/updates", updates_);
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    const ParameterBuffer& buffer = *weights_.slices()[i].buffer;
    visit_parts(model_, buffer, "optimizer/moment1", moments_[i].first, archive);
    visit_parts(model_, buffer, "optimizer/moment2", moments_[i].second, archive);
  }
}

}  // namespace coxswain
