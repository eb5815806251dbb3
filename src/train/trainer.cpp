#include "train/trainer.h"

#include <algorithm>
#include <cmath>

namespace coxswain {

Trainer::Trainer(Model& model, const BatchConfig& batch, const OptimizerConfig& optimizer)
    : model_(model),
      recompute_(batch.recompute),
      optimizer_config_(optimizer),
      gradients_(model),
      verdict_(model),
      weights_(model),
      optimizer_(model, weights_, optimizer),
      pipeline_(model) {}

void Trainer::visit(Archive& archive) {
  weights_.visit(archive);
  optimizer_.visit(archive);
}

// Nothing in here waits for the device but the last of it, whose numbers are there before the update is made.
StepResult Trainer::step(std::span<const GlobalBatch> parts, double learning_rate) {
  Work work = load_work(model_.context().grid, parts, true);
  verdict_.begin_step(work);
  gradients_.begin_step();
  run(work);
  const TensorView squares = gradients_.finish_step();
  verdict_.decide(work, squares, optimizer_config_.clip_norm);
  optimizer_.step(learning_rate, verdict_.scale());
  StepResult result = verdict_.read(work);
  if (result.updated) optimizer_.count_update();
  keep_looked_at(work);
  return result;
}

void Trainer::keep_looked_at(Work& work) {
  looked_at_.clear();
  bool first = true;  // of its shard
  for (Work::Item& item : work.items) {
    if (first) looked_at_.push_back(std::move(item.tokens));
    first = item.ends_shard;
  }
}

bool Trainer::sound(Evaluator& evaluator) const {
  if (looked_at_.empty()) return true;
  const ProcessGrid& grid = model_.context().grid;
  GlobalBatch batch;
  batch.micro = looked_at_.front().sequences;
  batch.size = grid.config().data_shards * batch.micro;
  batch.load = [&](std::int64_t first, int count) {
    return looked_at_[static_cast<std::size_t>(first / count - grid.first_data_shard())];
  };
  const std::vector<float> outputs = evaluator.outputs(batch);
  return std::all_of(outputs.begin(), outputs.end(), [](float output) { return std::isfinite(output); });
}

void Trainer::run(const Work& work) {
  const std::size_t count = work.items.size();
  saved_.resize(static_cast<std::size_t>(model_.stages()));
  for (auto& of_chunk : saved_) of_chunk.resize(count);
  output_gradients_.resize(count);
  for (const PipelineTask& task : pipeline_.begin(work, Pipeline::Ways::both)) {
    const auto index = static_cast<std::size_t>(task.micro_batch);
    Stage::Saved& saved = saved_[static_cast<std::size_t>(task.chunk)][index];
    if (task.kind == PipelineTask::Kind::forward) {
      pipeline_.forward(task, recompute_, saved);
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
  objective.evaluate(backend, saved.head.output, saved.batch,
                     verdict_.terms()[micro_batch].slice(0, 0, objective.terms()), gradient);
  output_gradients_[static_cast<std::size_t>(micro_batch)] = std::move(gradient);
}

}  // namespace coxswain
