#include "model/model.h"

#include <fmt/format.h>

namespace coxswain {

Model::Model(const ModelContext& context, ModelUse use) : context_(context) {
  const bool gradients = use == ModelUse::training;
  const ProcessGrid& grid = context.grid;
  const int chunks = grid.config().virtual_stages;
  Parameter* input = nullptr;
  Parameter* output = nullptr;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    stages_.push_back(std::make_unique<Stage>(context, chunk * grid.config().pipeline + grid.pipeline_rank(),
                                              chunks * grid.config().pipeline));
    std::vector<Parameter*> parameters;
    stages_.back()->visit([&](Parameter& parameter) {
      if (!context.config.tied_embeddings || parameter.name != "embedding/token")
        parameters.push_back(&parameter);
      else
        (parameter.tied_copy ? output : input) = &parameter;
    });
    buffers_.push_back(std::make_unique<ParameterBuffer>(context, fmt::format("chunk {}", chunk), parameters,
                                                         ParameterBuffer::Options{gradients}));
  }
  if (input != nullptr) {
    buffers_.push_back(std::make_unique<ParameterBuffer>(context, "embedding", std::vector{input},
                                                         ParameterBuffer::Options{gradients}));
    tied_input_ = buffers_.back().get();
  }
  if (output != nullptr) {
    buffers_.push_back(std::make_unique<ParameterBuffer>(context, "tied output", std::vector{output},
                                                         ParameterBuffer::Options{gradients, tied_input_}));
    tied_output_ = buffers_.back().get();
  }
  for (const Parameter& parameter : model_parameters(context)) {
    if (parameter.tied_copy) continue;
    first_unit_[parameter.name] = unit_count_;
    unit_count_ += parameter.is_sharded() ? parameter.shards : 1;
  }
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

std::vector<ParameterBuffer*> Model::buffers_of(int chunk) const {
  std::vector<ParameterBuffer*> buffers{buffers_[static_cast<std::size_t>(chunk)].get()};
  if (tied_input_ != nullptr && stages_[static_cast<std::size_t>(chunk)]->is_first()) buffers.push_back(tied_input_);
  if (tied_output_ != nullptr && stages_[static_cast<std::size_t>(chunk)]->is_last()) buffers.push_back(tied_output_);
  return buffers;
}

std::int64_t Model::unit_index(const ParameterUnit& unit) const {
  const Parameter& parameter = *unit.parameter;
  const std::int64_t shard = parameter.is_sharded() ? parameter.first_shard + unit.local_shard : 0;
  return first_unit_.at(parameter.name) + shard;
}

}  // namespace coxswain
