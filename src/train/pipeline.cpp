#include "train/pipeline.h"

#include <algorithm>
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

const std::vector<PipelineTask>& Pipeline::begin(const Work& work, Ways ways) {
  const GridConfig& grid = model_.context().grid.config();
  const int count = static_cast<int>(work.items.size());
  std::vector<PipelineTask>& tasks = schedules_[{count, ways}];
  if (tasks.empty()) {
    tasks = pipeline_schedule(grid.pipeline, model_.context().grid.pipeline_rank(), grid.virtual_stages, count);
    const auto is_backward = [](const PipelineTask& task) { return task.kind == PipelineTask::Kind::backward; };
    if (ways == Ways::forward) tasks.erase(std::remove_if(tasks.begin(), tasks.end(), is_backward), tasks.end());
  }
  work_ = &work, tasks_ = &tasks, begun_ = 0;
  return tasks;
}

void Pipeline::forward(const PipelineTask& task, std::optional<Recompute> recompute, Stage::Saved& saved) {
  Stage& stage = model_.stage(task.chunk);
  const Work::Item& item = work_->items[static_cast<std::size_t>(task.micro_batch)];
  const GlobalBatch& part = work_->part_of(item);
  const BatchPlace place{part.seed, part.step, item.first_sequence, work_->training};
  saved.batch = Batch(model_.context().backend, item.tokens, place, work_->scale_of(item));
  Tensor x = arrive(task);
  x = recompute ? stage.forward(std::move(x), *recompute, saved) : stage.evaluate(std::move(x), saved);
  if (!stage.is_last()) depart(task.kind, global_stage(task.chunk) + 1, task.micro_batch, std::move(x));
}

void Pipeline::backward(const PipelineTask& task, TensorView output_gradient, Stage::Saved& saved,
                        const Stage::PartHook& finished) {
  Stage& stage = model_.stage(task.chunk);
  Tensor dx = stage.backward(arrive(task), output_gradient, saved, finished);
  if (!stage.is_first()) depart(task.kind, global_stage(task.chunk) - 1, task.micro_batch, std::move(dx));
  saved = Stage::Saved();
}

void Pipeline::finish() {
  for (Transfer& departure : departures_) departure.request.wait();
  departures_.clear();
}

int Pipeline::global_stage(int chunk) const {
  const ProcessGrid& grid = model_.context().grid;
  return chunk * grid.config().pipeline + grid.pipeline_rank();
}

bool Pipeline::wants_input(const PipelineTask& task) const {
  const Stage& stage = model_.stage(task.chunk);
  return task.kind == PipelineTask::Kind::forward ? !stage.is_first() : !stage.is_last();
}

int Pipeline::source_of(const PipelineTask& task) const {
  const int ranks = model_.context().grid.config().pipeline;
  return (global_stage(task.chunk) + (task.kind == PipelineTask::Kind::forward ? ranks - 1 : 1)) % ranks;
}

Pipeline::Transfer Pipeline::expect(const PipelineTask& task) const {
  const ModelContext& context = model_.context();
  const MicroBatch& tokens = work_->items[static_cast<std::size_t>(task.micro_batch)].tokens;
  const MemoryScope scope(context.backend, MemoryKind::communication);
  Transfer transfer;
  transfer.tensor = context.tensor({context.local_rows(std::ssize(tokens.tokens)), context.config.hidden});
  transfer.request = context.grid.pipeline().expect(transfer.tensor, source_of(task),
                                                    name_of(task.kind, global_stage(task.chunk)).c_str());
  return transfer;
}

// The task's input, or nothing where it has none. Whatever comes from another rank for the task behind it may come from
// now on: it is the next to be waited for, so that messages of one name keep their order.
Tensor Pipeline::arrive(const PipelineTask& task) {
  const int rank = model_.context().grid.pipeline_rank();
  const auto comes = [&](const PipelineTask& of) { return wants_input(of) && source_of(of) != rank; };
  Tensor input;
  if (comes(task)) {
    Transfer transfer = expected_ ? std::move(*expected_) : expect(task);
    expected_.reset();
    transfer.request.wait();
    input = std::move(transfer.tensor);
  } else if (wants_input(task)) {
    auto node = local_.extract(
        {2 * global_stage(task.chunk) + (task.kind == PipelineTask::Kind::forward ? 0 : 1), task.micro_batch});
    input = std::move(node.mapped());
  }
  if (++begun_ < tasks_->size() && comes((*tasks_)[begun_])) expected_ = expect((*tasks_)[begun_]);
  return input;
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
  departures_.push_back({std::move(tensor), std::move(request)});
}

}  // namespace coxswain
