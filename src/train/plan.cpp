#include "train/plan.h"

#include <algorithm>
#include <numeric>

#include "train/trainer.h"

namespace coxswain {

namespace {

// After this many micro-batches of a rank a step's memory has been seen; work grows in proportion.
int micro_batches_to_run(const GridConfig& grid, int per_shard, int shards) {
  const int of_shard = std::min(per_shard, (representative_micro_batches(grid) + shards - 1) / shards);
  return std::max(1, of_shard) * shards;
}

RankPlan plan_rank(const ModelConfig& model_config, BatchConfig batch_config, const OptimizerConfig& optimizer,
                   const GridConfig& grid_config, int pipeline) {
  const auto backend = make_counting_backend();
  const ProcessGrid grid = ProcessGrid::planned(grid_config, pipeline * grid_config.tensor * grid_config.data);
  const ModelContext context{*backend, grid, model_config};
  Model model(context);
  Trainer trainer(model, batch_config, optimizer);

  const int shards = grid.local_data_shards();
  const int per_shard = batch_config.global / grid_config.data_shards / batch_config.micro;
  const int run = micro_batches_to_run(grid_config, per_shard, shards);
  GlobalBatch batch;
  batch.micro = batch_config.micro;
  batch.size = run / shards * grid_config.data_shards * batch_config.micro;
  batch.load = [&](std::int64_t, int sequences) { return blank_micro_batch(sequences, batch_config.length); };
  trainer.step(batch, 0.0);

  RankPlan plan = rank_plan(pipeline, model, *backend);
  for (const auto& buffer : model.buffers())
    if (buffer->owns_values())
      plan.checkpoint_bytes += 3 * sizeof(float) * static_cast<std::size_t>(buffer->own_elements());
  for (const auto& [name, cost] : backend->costs()) plan.flops += cost.flops;
  plan.flops *= static_cast<double>(per_shard * shards) / run;
  return plan;
}

}  // namespace

RankPlan rank_plan(int pipeline, Model& model, const Backend& counting) {
  RankPlan plan;
  plan.pipeline = pipeline;
  plan.bytes = counting.memory().taken_by_kind;
  for (int chunk = 0; chunk < model.stages(); ++chunk)
    plan.layers.emplace_back(model.stage(chunk).first_layer(), model.stage(chunk).layers());
  return plan;
}

int representative_micro_batches(const GridConfig& grid) { return 2 * grid.pipeline * grid.virtual_stages + 2; }

MicroBatch blank_micro_batch(int sequences, int length) {
  MicroBatch batch;
  batch.sequences = sequences;
  batch.length = length;
  const auto count = static_cast<std::size_t>(sequences) * static_cast<std::size_t>(length);
  batch.tokens.resize(count);
  batch.targets.resize(count);
  batch.positions.resize(count);
  batch.weights.assign(count, 1.0f);
  return batch;
}

std::size_t RankPlan::on_gpu() const {
  return total() - checkpoint_bytes - bytes[static_cast<std::size_t>(MemoryKind::compressed)];
}

std::size_t RankPlan::total() const { return std::accumulate(bytes.begin(), bytes.end(), checkpoint_bytes); }

Plan make_plan(const ModelConfig& model, const BatchConfig& batch, const OptimizerConfig& optimizer,
               const GridConfig& grid) {
  Plan plan;
  plan.parameters = model.parameter_count();
  plan.tokens_per_step = batch.tokens_per_step();
  plan.flops_per_step = model.flops_per_token(batch.length) * static_cast<double>(plan.tokens_per_step);
  plan.micro_batches = batch.global / grid.data / batch.micro;
  plan.bubble = simulate_schedule(grid.pipeline, grid.virtual_stages, plan.micro_batches).bubble;
  for (int pipeline = 0; pipeline < grid.pipeline; ++pipeline)
    plan.ranks.push_back(plan_rank(model, batch, optimizer, grid, pipeline));
  return plan;
}

}  // namespace coxswain
