#include "model/model.h"

#include <fmt/format.h>

namespace coxswain {

Model::Model(const ModelContext& context, ModelUse use) : context_(context) {
  const ProcessGrid& grid = context.grid;
  const int chunks = grid.config().virtual_stages;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    stages_.push_back(std::make_unique<Stage>(context, chunk * grid.config().pipeline + grid.pipeline_rank(),
                                              chunks * grid.config().pipeline));
    Stage& stage = *stages_.back();
    parts_.emplace_back();
    for (int part = 0; part < stage.parts(); ++part)
      parts_.back().push_back(
          make_buffers(stage, fmt::format("chunk {} part {}", chunk, part), part, use == ModelUse::training));
    stage.before_use([this, chunk](int part) {
      for (const std::size_t buffer : buffers_of(chunk, part)) buffers_[buffer]->await_values();
    });
  }
  for (const Parameter& parameter : model_parameters(context)) {
    if (parameter.tied_copy) continue;
    first_unit_[parameter.name] = unit_count_;
    unit_count_ += parameter.is_sharded() ? parameter.shards : 1;
  }
}

std::vector<std::size_t> Model::make_buffers(Stage& stage, const std::string& name, int part, bool gradients) {
  std::vector<std::size_t> made;
  const auto make = [&](const std::string& buffer, const std::vector<Parameter*>& parameters,
                        ParameterBuffer* shared_values) {
    made.push_back(buffers_.size());
    buffers_.push_back(std::make_unique<ParameterBuffer>(context_, buffer, parameters,
                                                         ParameterBuffer::Options{gradients, shared_values}));
    return buffers_.back().get();
  };
  std::vector<Parameter*> own;
  Parameter* tied = nullptr;
  stage.visit(part, [&](Parameter& parameter) {
    if (!context_.config.tied_embeddings || parameter.name != "embedding/token")
      own.push_back(&parameter);
    else
      tied = &parameter;
  });
  if (!own.empty()) make(name, own, nullptr);
  if (tied == nullptr) return made;
  if (tied->tied_copy)
    tied_output_ = make("tied output", {tied}, tied_input_);
  else
    tied_input_ = make("embedding", {tied}, nullptr);
  return made;
}

std::vector<TensorView> Model::multiplied_weights() {
  std::vector<TensorView> weights;
  for (const auto& stage : stages_)
    stage->visit([&](const Parameter& parameter) {
      if (parameter.picked || parameter.global_shape.rank() != 2) return;
      for (int s = 0; s < parameter.local_shards; ++s) weights.push_back(parameter.value(s));
    });
  return weights;
}

void Model::await_values() {
  for (const auto& buffer : buffers_) buffer->await_values();
}

void Model::park(bool changed) {
  for (const auto& buffer : buffers_) buffer->park(changed);
}

void Model::begin_unpark() {
  for (const auto& buffer : buffers_) buffer->begin_unpark();
  if (tied_output_ != nullptr && tied_input_ != nullptr) tied_output_->share_values(*tied_input_);
}

void Model::unpark() {
  begin_unpark();
  context_.backend.finish_uploads();
}

std::int64_t Model::unit_index(const ParameterUnit& unit) const {
  const Parameter& parameter = *unit.parameter;
  const std::int64_t shard = parameter.is_sharded() ? parameter.first_shard + unit.local_shard : 0;
  return first_unit_.at(parameter.name) + shard;
}

}  // namespace coxswain
