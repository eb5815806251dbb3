#include "train/pipeline.h"

#include <string>

namespace coxswain {

namespace {

std::string name_of(PipelineTask::Kind kind, int to_stage) {
  return (kind == PipelineTask::Kind::forward ? "activations to stage " : "gradients to stage ") +
         std::to_string(to_stage);
}

}  // namespace

Pipeline::Pipeline(Model& model) : model_(model) {
  const GridConfig& grid = model.context().grid.config();
  if (grid.pipeline == 1) return;
  std::vector<Route> routes;
  for (int stage = 1; stage < grid.pipeline * grid.virtual_stages; ++stage) {
    const int here = stage % grid.pipeline, before = (stage - 1) % grid.pipeline;
    routes.push_back({name_of(PipelineTask::Kind::forward, stage), before, here});
    routes.push_back({name_of(PipelineTask::Kind::backward, stage - 1), here, before});
  }
  model.context().grid.pipeline().open(routes);
}

const std::vector<PipelineTask>& Pipeline::schedule(int micro_batches) {
  const GridConfig& grid = model_.context().grid.config();
  std::vector<PipelineTask>& tasks = schedules_[micro_batches];
  if (tasks.empty())
    tasks = pipeline_schedule(grid.pipeline, model_.context().grid.pipeline_rank(), grid.virtual_stages, micro_batches);
  return tasks;
}

void Pipeline::forward(const Work& work, const PipelineTask& task, std::optional<Recompute> recompute,
                       Stage::Saved& saved) {
  Stage& stage = model_.stage(task.chunk);
  const Work::Item& item = work.items[static_cast<std::size_t>(task.micro_batch)];
  const GlobalBatch& part = work.part_of(item);
  const BatchPlace place{part.seed, part.step, item.first_sequence, work.training};
  saved.batch = Batch(model_.context().backend, item.tokens, place, work.scale_of(item));
  const int here = global_stage(task.chunk);
  Tensor x;
  if (!stage.is_first()) x = arrive(task.kind, here, task.micro_batch, saved.batch.rows());
  x = recompute ? stage.forward(std::move(x), *recompute, saved) : stage.evaluate(std::move(x), saved);
  if (!stage.is_last()) depart(task.kind, here + 1, task.micro_batch, std::move(x));
}

void Pipeline::backward(const PipelineTask& task, TensorView output_gradient, Stage::Saved& saved,
                        const Stage::PartHook& finished) {
  Stage& stage = model_.stage(task.chunk);
  const int here = global_stage(task.chunk);
  Tensor dy;
  if (!stage.is_last()) dy = arrive(task.kind, here, task.micro_batch, saved.batch.rows());
  Tensor dx = stage.backward(std::move(dy), output_gradient, saved, finished);
  if (!stage.is_first()) depart(task.kind, here - 1, task.micro_batch, std::move(dx));
  saved = Stage::Saved();
}

void Pipeline::finish() {
  for (Departure& departure : departures_) departure.request.wait();
  departures_.clear();
}

int Pipeline::global_stage(int chunk) const {
  const ProcessGrid& grid = model_.context().grid;
  return chunk * grid.config().pipeline + grid.pipeline_rank();
}

Tensor Pipeline::arrive(PipelineTask::Kind kind, int to_stage, int micro_batch, std::int64_t rows) {
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
  context.grid.pipeline().receive(tensor, from, name_of(kind, to_stage).c_str()).wait();
  return tensor;
}

void Pipeline::depart(PipelineTask::Kind kind, int to_stage, int micro_batch, Tensor tensor) {
  const ProcessGrid& grid = model_.context().grid;
  const int to = to_stage % grid.config().pipeline;
  if (to == grid.pipeline_rank()) {
    local_.emplace(std::pair{2 * to_stage + (kind == PipelineTask::Kind::forward ? 0 : 1), micro_batch},
                   std::move(tensor));
    return;
  }
  // No receiver can be further behind than this many transfers: waiting for the oldest one never blocks for long.
  const auto in_flight = static_cast<std::size_t>(4 * grid.config().pipeline * grid.config().virtual_stages);
  if (departures_.size() >= in_flight) {
    departures_.front().request.wait();
    departures_.erase(departures_.begin());
  }
  Request request = grid.pipeline().send(tensor, to, name_of(kind, to_stage).c_str());
  departures_.push_back({std::move(request), std::move(tensor)});
}

}  // namespace coxswain
