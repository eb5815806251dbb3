#include "train/trainer.h"

#include <algorithm>
#include <cmath>

namespace coxswain {

namespace {

constexpr std::int64_t kMostTerms = 8;  // of any objective

}  // namespace

Trainer::Trainer(Model& model, const BatchConfig& batch, const OptimizerConfig& optimizer)
    : model_(model),
      recompute_(batch.recompute),
      optimizer_config_(optimizer),
      gradients_(model),
      weights_(model),
      optimizer_(model, weights_, optimizer),
      pipeline_(model) {}

void Trainer::visit(Archive& archive) {
  weights_.visit(archive);
  optimizer_.visit(archive);
}

StepResult Trainer::step(std::span<const GlobalBatch> parts, double learning_rate) {
  const Work work = load_work(model_.context().grid, parts, true);
  gradients_.begin_step();
  run(work);
  StepResult result;
  result.gradient_norm = gradients_.finish_step();
  add_up_terms(work, result);  // after all that the device is asked for: nothing waits for it twice
  result.updated = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
  if (!result.updated) return result;
  const double clip = optimizer_config_.clip_norm;
  const double scale = clip > 0 ? std::min(1.0, clip / (result.gradient_norm + 1e-6)) : 1.0;
  optimizer_.step(gradients_, learning_rate, scale);
  return result;
}

void Trainer::run(const Work& work) {
  const std::size_t count = work.items.size();
  saved_.resize(static_cast<std::size_t>(model_.stages()));
  for (auto& of_chunk : saved_) of_chunk.resize(count);
  output_gradients_.resize(count);
  const Shape shape{static_cast<std::int64_t>(count), kMostTerms};
  if (!terms_ || !(terms_.shape() == shape)) terms_ = Tensor(model_.context().backend, DType::f64, shape);
  for (const PipelineTask& task : pipeline_.schedule(static_cast<int>(count))) {
    const auto index = static_cast<std::size_t>(task.micro_batch);
    Stage::Saved& saved = saved_[static_cast<std::size_t>(task.chunk)][index];
    if (task.kind == PipelineTask::Kind::forward) {
      pipeline_.forward(work, task, recompute_, saved);
      if (model_.stage(task.chunk).is_last()) judge(work, task.micro_batch, saved);
    } else {
      Stage::PartHook finished;
      if (work.items[index].ends_shard) finished = [&](int part) { gradients_.finish_shard(task.chunk, part); };
      pipeline_.backward(task, output_gradients_[index], saved, finished);
      if (model_.stage(task.chunk).is_last()) output_gradients_[index].reset();
    }
  }
  pipeline_.finish();
}

void Trainer::judge(const Work& work, int micro_batch, const Stage::Saved& saved) {
  Backend& backend = model_.context().backend;
  const Objective& objective = *work.part_of(work.items[static_cast<std::size_t>(micro_batch)]).objective;
  Tensor gradient(backend, DType::f32, {saved.batch.rows()});
  objective.evaluate(backend, saved.head.output, saved.batch, terms_[micro_batch].slice(0, 0, objective.terms()),
                     gradient);
  output_gradients_[static_cast<std::size_t>(micro_batch)] = std::move(gradient);
}

// Every micro-batch's share, added up in the batch's order.
void Trainer::add_up_terms(const Work& work, StepResult& result) {
  const ProcessGrid& grid = model_.context().grid;
  std::vector<double> own(work.items.size() * kMostTerms, 0.0);
  const bool mine = model_.stage(model_.stages() - 1).is_last() && grid.tensor_rank() == 0;
  if (mine) model_.context().backend.download(terms_, own.data());
  const std::vector<double> all = merge_items(grid, own, mine, "losses");
  for (const GlobalBatch& part : work.parts)
    result.terms.emplace_back(static_cast<std::size_t>(part.objective->terms()), 0.0);
  for (std::size_t i = 0; i * kMostTerms < all.size(); ++i) {
    // Every rank's items have the parts of this rank's: all data shards are alike.
    const auto part = static_cast<std::size_t>(work.items[i % work.items.size()].part);
    std::vector<double>& terms = result.terms[part];
    for (std::size_t term = 0; term < terms.size(); ++term) terms[term] += all[i * kMostTerms + term];
    result.loss += all[i * kMostTerms];
  }
  for (std::size_t part = 0; part < result.terms.size(); ++part)
    for (double& term : result.terms[part]) term /= work.parts[part].weight;
}

}  // namespace coxswain
