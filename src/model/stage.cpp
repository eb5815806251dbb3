#include "model/stage.h"

#include <algorithm>
#include <limits>

namespace coxswain {

Stage::Stage(const ModelContext& context, int index, int count) {
  const std::vector<int> dealt = deal_layers(context.config, count);
  for (int before = 0; before < index; ++before) first_layer_ += dealt[static_cast<std::size_t>(before)];
  const int own = dealt[static_cast<std::size_t>(index)];
  if (index == 0) embedding_ = std::make_unique<Embedding>(context);
  for (int i = 0; i < own; ++i) layers_.push_back(std::make_unique<Layer>(context, first_layer_ + i));
  if (index == count - 1) head_ = make_head(context);
}

Embedding& Stage::use_embedding() {
  if (before_use_) before_use_(0);
  return *embedding_;
}

Layer& Stage::use_layer(std::size_t layer) {
  if (before_use_) before_use_(part_of_layer(layer));
  return *layers_[layer];
}

Head& Stage::use_head() {
  if (before_use_) before_use_(parts() - 1);
  return *head_;
}

Tensor Stage::forward(Tensor x, Recompute recompute, Saved& saved) {
  if (embedding_) x = use_embedding().forward(saved.batch);
  saved.layers.resize(layers_.size());
  for (std::size_t i = 0; i < layers_.size(); ++i)
    x = use_layer(i).forward(std::move(x), saved.batch, recompute, saved.layers[i]);
  if (!head_) return x;
  use_head().forward(std::move(x), saved.batch, saved.head);
  return Tensor();
}

Tensor Stage::evaluate(Tensor x, Saved& saved) {
  if (embedding_) x = use_embedding().forward(saved.batch);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    Layer::Saved forgotten;
    x = use_layer(i).forward(std::move(x), saved.batch, Recompute::none, forgotten);
  }
  if (!head_) return x;
  use_head().forward(std::move(x), saved.batch, saved.head);
  return Tensor();
}

Tensor Stage::backward(Tensor dy, TensorView output_gradient, Saved& saved, const PartHook& finished) {
  const auto end = [&](int part) {
    if (finished) finished(part);
  };
  if (head_) {
    dy = head_->backward(output_gradient, saved.batch, saved.head);
    end(parts() - 1);
  }
  for (std::size_t i = layers_.size(); i-- > 0;) {
    dy = layers_[i]->backward(std::move(dy), saved.batch, saved.layers[i]);
    end(part_of_layer(i));
  }
  if (!embedding_) return dy;
  embedding_->backward(dy, saved.batch);
  end(0);
  return Tensor();
}

void Stage::visit(int part, const ParameterVisitor& visitor) {
  if (embedding_ && part == 0) return embedding_->visit(visitor);
  const int layer = part - part_of_layer(0);
  if (layer < layers())
    layers_[static_cast<std::size_t>(layer)]->visit(visitor);
  else
    head_->visit(visitor);
}

void Stage::visit(const ParameterVisitor& visitor) {
  for (int part = 0; part < parts(); ++part) visit(part, visitor);
}

std::vector<int> deal_layers(const ModelConfig& config, int stages) {
  if (stages == 1) return {config.layers};
  const double projection = 6.0 * static_cast<double>(config.head_parameters());
  const double layer = (config.flops_per_token(config.context) - projection) / config.layers;
  int last = 0;
  double best = std::numeric_limits<double>::infinity();
  for (int candidate = config.layers / stages; candidate >= 0; --candidate) {
    const int left = config.layers - candidate;
    const double slowest = std::max<double>((left + stages - 2) / (stages - 1), candidate + projection / layer);
    if (slowest < best) best = slowest, last = candidate;
  }
  std::vector<int> dealt;
  const int others = stages - 1, left = config.layers - last;
  for (int stage = 0; stage < others; ++stage) dealt.push_back(left / others + (stage < left % others ? 1 : 0));
  dealt.push_back(last);
  return dealt;
}

std::vector<Parameter> model_parameters(const ModelContext& context) {
  std::vector<Parameter> parameters;
  Stage(context, 0, 1).visit([&](Parameter& parameter) { parameters.push_back(parameter); });
  return parameters;
}

}  // namespace coxswain
