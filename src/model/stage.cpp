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

Tensor Stage::forward(Tensor x, Recompute recompute, Saved& saved) {
  if (embedding_) x = embedding_->forward(saved.batch);
  saved.layers.resize(layers_.size());
  for (std::size_t i = 0; i < layers_.size(); ++i)
    x = layers_[i]->forward(std::move(x), saved.batch, recompute, saved.layers[i]);
  if (!head_) return x;
  head_->forward(std::move(x), saved.batch, saved.head);
  return Tensor();
}

Tensor Stage::evaluate(Tensor x, Saved& saved) {
  if (embedding_) x = embedding_->forward(saved.batch);
  for (const auto& layer : layers_) {
    Layer::Saved forgotten;
    x = layer->forward(std::move(x), saved.batch, Recompute::none, forgotten);
  }
  if (!head_) return x;
  head_->forward(std::move(x), saved.batch, saved.head);
  return Tensor();
}

Tensor Stage::backward(Tensor dy, TensorView output_gradient, Saved& saved) {
  if (head_) dy = head_->backward(output_gradient, saved.batch, saved.head);
  for (std::size_t i = layers_.size(); i-- > 0;) dy = layers_[i]->backward(std::move(dy), saved.batch, saved.layers[i]);
  if (!embedding_) return dy;
  embedding_->backward(dy, saved.batch);
  return Tensor();
}

void Stage::visit(const ParameterVisitor& visitor) {
  if (embedding_) embedding_->visit(visitor);
  for (const auto& layer : layers_) layer->visit(visitor);
  if (head_) head_->visit(visitor);
}

std::vector<int> deal_layers(const ModelConfig& config, int stages) {
  if (stages == 1) return {config.layers};
  const auto projection = static_cast<double>(config.head_parameters());
  const double layer = (static_cast<double>(config.multiplied_parameters()) - projection) / config.layers;
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
