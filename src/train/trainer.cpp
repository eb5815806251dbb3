#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"

namespace coxswain {

Trainer::Trainer(Model& model, const BatchConfig& batch, const OptimizerConfig& optimizer)
    : model_(model),
      batch_(batch),
      optimizer_config_(optimizer),
      gradients_(model),
      weights_(model),
      optimizer_(model, weights_, optimizer) {}

void Trainer::visit(Archive& archive) {
  weights_.visit(archive);
  optimizer_.visit(archive);
}

StepResult Trainer::step(const GlobalBatch& batch, double learning_rate) {
  const Work work = load(batch, true);
  gradients_.begin_step();
  run(work);
  StepResult result;
  result.loss = mean_loss(work);
  result.gradient_norm = gradients_.finish_step();
  result.updated = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
  if (!result.updated) return result;
  const double clip = optimizer_config_.clip_norm;
  const double scale = clip > 0 ? std::min(1.0, clip / (result.gradient_norm + 1e-6)) : 1.0;
  optimizer_.step(gradients_, learning_rate, scale);
  return result;
}

double Trainer::evaluate(const GlobalBatch& batch) {
  const Work work = load(batch, false);
  run(work);
  return mean_loss(work);
}

Trainer::Work Trainer::load(const GlobalBatch& batch, bool training) {
  const ProcessGrid& grid = model_.context().grid;
  const int shard_size = batch.size / grid.config().data_shards;
  Work work;
  work.batch = &batch;
  work.training = training;
  work.per_shard = shard_size / batch_.micro;
  std::vector<double> weight(static_cast<std::size_t>(grid.data().size()), 0.0);
  for (int shard = 0; shard < grid.local_data_shards(); ++shard)
    for (int i = 0; i < work.per_shard; ++i) {
      const std::int64_t first = std::int64_t{grid.first_data_shard() + shard} * shard_size + i * batch_.micro;
      work.first_sequences.push_back(first);
      work.micro_batches.push_back(batch.load(first, batch_.micro));
      for (const float w : work.micro_batches.back().weights) weight[static_cast<std::size_t>(grid.data_rank())] += w;
    }
  grid.data().all_merge(weight, "loss weights");
  double total = 0;
  for (const double part : weight) total += part;  // of ones and zeros: exact in any order
  work.weight_scale = total > 0 ? 1.0 / total : 0.0;
  return work;
}

const std::vector<PipelineTask>& Trainer::schedule(int micro_batches) {
  const GridConfig& grid = model_.context().grid.config();
  std::vector<PipelineTask>& tasks = schedules_[micro_batches];
  if (tasks.empty())
    tasks = pipeline_schedule(grid.pipeline, model_.context().grid.pipeline_rank(), grid.virtual_stages, micro_batches);
  return tasks;
}

void Trainer::run(const Work& work) {
  const int count = static_cast<int>(work.micro_batches.size());
  saved_.resize(static_cast<std::size_t>(model_.stages()));
  for (auto& of_chunk : saved_) of_chunk.resize(static_cast<std::size_t>(count));
  if (!losses_ || losses_.shape()[0] != count) losses_ = Tensor(model_.context().backend, DType::f64, {count});
  for (const PipelineTask& task : schedule(count)) {
    if (task.kind == PipelineTask::Kind::forward)
      forward(work, task);
    else if (work.training)
      backward(work, task);
  }
  for (Departure& departure : departures_) departure.request.wait();
  departures_.clear();
}

void Trainer::forward(const Work& work, const PipelineTask& task) {
  Backend& backend = model_.context().backend;
  Stage& stage = model_.stage(task.chunk);
  Stage::Saved& saved = saved_[static_cast<std::size_t>(task.chunk)][static_cast<std::size_t>(task.micro_batch)];
  const auto index = static_cast<std::size_t>(task.micro_batch);
  const BatchPlace place{work.batch->seed, work.batch->step, work.first_sequences[index], work.training};
  saved.batch = Batch(backend, work.micro_batches[index], place, work.weight_scale);
  const int here = global_stage(task.chunk);
  Tensor x;
  if (!stage.is_first()) x = arrive(task.kind, here, task.micro_batch, saved.batch.rows());
  x = work.training ? stage.forward(std::move(x), batch_.recompute, saved) : stage.evaluate(std::move(x), saved);
  if (stage.is_last())
    backend.weighted_sum(saved.head.token_loss, saved.batch.weights, losses_.view().slice(0, task.micro_batch, 1));
  else
    depart(task.kind, here + 1, task.micro_batch, std::move(x));
  if (!work.training) saved = Stage::Saved();
}

void Trainer::backward(const Work& work, const PipelineTask& task) {
  Stage& stage = model_.stage(task.chunk);
  Stage::Saved& saved = saved_[static_cast<std::size_t>(task.chunk)][static_cast<std::size_t>(task.micro_batch)];
  const int here = global_stage(task.chunk);
  Tensor dy;
  if (!stage.is_last()) dy = arrive(task.kind, here, task.micro_batch, saved.batch.rows());
  Tensor dx = stage.backward(std::move(dy), saved.batch.weights, saved);
  if (!stage.is_first()) depart(task.kind, here - 1, task.micro_batch, std::move(dx));
  saved = Stage::Saved();
  if ((task.micro_batch + 1) % work.per_shard == 0) gradients_.finish_shard(task.chunk);
}

// The mean over the global batch: every micro-batch's share, added up in the batch's order.
double Trainer::mean_loss(const Work& work) {
  const ProcessGrid& grid = model_.context().grid;
  const std::size_t count = work.micro_batches.size();
  std::vector<double> shares(count * static_cast<std::size_t>(grid.data().size()), 0.0);
  const bool mine = model_.stage(model_.stages() - 1).is_last() && grid.tensor_rank() == 0;
  if (mine)
    model_.context().backend.download(losses_, shares.data() + count * static_cast<std::size_t>(grid.data_rank()));
  grid.world().all_merge(shares, "losses");
  double loss = 0;
  for (const double share : shares) loss += share;
  return loss;
}

int Trainer::global_stage(int chunk) const {
  const ProcessGrid& grid = model_.context().grid;
  return chunk * grid.config().pipeline + grid.pipeline_rank();
}

Tensor Trainer::arrive(PipelineTask::Kind kind, int to_stage, int micro_batch, std::int64_t rows) {
  const ModelContext& context = model_.context();
  const bool forward = kind == PipelineTask::Kind::forward;
  const int ranks = context.grid.config().pipeline;
  const int from = (to_stage + (forward ? ranks - 1 : 1)) % ranks;
  if (from == context.grid.pipeline_rank()) {
    auto node = local_.extract({2 * to_stage + (forward ? 0 : 1), micro_batch});
    return std::move(node.mapped());
  }
  const MemoryScope scope(context.backend, MemoryKind::communication);
  Tensor tensor = context.tensor({context.local_rows(rows), context.config.hidden});
  const std::string name = (forward ? "activations to stage " : "gradients to stage ") + std::to_string(to_stage);
  context.grid.pipeline().receive(tensor, from, name.c_str()).wait();
  return tensor;
}

void Trainer::depart(PipelineTask::Kind kind, int to_stage, int micro_batch, Tensor tensor) {
  const ProcessGrid& grid = model_.context().grid;
  const bool forward = kind == PipelineTask::Kind::forward;
  const int to = to_stage % grid.config().pipeline;
  if (to == grid.pipeline_rank()) {
    local_.emplace(std::pair{2 * to_stage + (forward ? 0 : 1), micro_batch}, std::move(tensor));
    return;
  }
  const std::string name = (forward ? "activations to stage " : "gradients to stage ") + std::to_string(to_stage);
  // No receiver can be further behind than this many transfers: waiting for the oldest one never blocks for long.
  const auto in_flight = static_cast<std::size_t>(4 * grid.config().pipeline * grid.config().virtual_stages);
  if (departures_.size() >= in_flight) {
    departures_.front().request.wait();
    departures_.erase(departures_.begin());
  }
  Request request = grid.pipeline().send(tensor, to, name.c_str());
  departures_.push_back({std::move(request), std::move(tensor)});
}

}  // namespace coxswain
