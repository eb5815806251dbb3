#include "train/weight_average.h"

namespace coxswain {

WeightAverage::WeightAverage(Model& model, const MasterWeights& weights, double decay)
    : model_(model), weights_(weights), rate_(static_cast<float>(1.0 - decay)) {
  const MemoryScope scope(model.context().backend, MemoryKind::optimizer);
  for (const MasterWeights::Slice& slice : weights.slices())
    averages_.emplace_back(model.context().backend, DType::f32, Shape{slice.buffer->own_elements()});
}

void WeightAverage::restart() {
  for (std::size_t i = 0; i < averages_.size(); ++i)
    model_.context().backend.copy(weights_.slices()[i].values, averages_[i]);
}

void WeightAverage::update() {
  for (std::size_t i = 0; i < averages_.size(); ++i)
    model_.context().backend.blend(weights_.slices()[i].values, rate_, averages_[i]);
}

void WeightAverage::visit(Archive& archive) {
  for (std::size_t i = 0; i < averages_.size(); ++i)
    visit_parts(model_, *weights_.slices()[i].buffer, kAveragePrefix, averages_[i], archive);
}

}  // namespace coxswain
