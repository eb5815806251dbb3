#include "rl/inference_plan.h"

#include "train/frozen_model.h"

namespace coxswain {

namespace {

// Whole texts through a model, as many as fill its pipeline.
void look(FrozenModel& model, const GridConfig& grid, int micro, int length) {
  GlobalBatch batch;
  batch.micro = micro;
  batch.size = grid.data_shards * micro * representative_micro_batches(grid);
  batch.load = [=](std::int64_t, int sequences) { return blank_micro_batch(sequences, length); };
  model.outputs(batch);
}

// A prompt in each slot, as long as the context allows.
void respond(Generator& generator, const GridConfig& grid, int slots) {
  std::vector<GenerationRequest> requests(static_cast<std::size_t>(slots * grid.data));
  for (GenerationRequest& request : requests)
    request.prompt.assign(static_cast<std::size_t>(generator.context()) - 1, 0);
  Sampling sampling;
  sampling.max_new_tokens = 1;
  generator.respond(requests, sampling);
}

RankPlan plan_rank(const InferenceConfig& config, int pipeline) {
  const auto backend = make_counting_backend();
  const int rank = pipeline * config.grid.tensor * config.grid.data;
  const ProcessGrid grid = ProcessGrid::planned(config.grid, rank);
  std::optional<ProcessGrid> judge_grid;
  FrozenModel model(config.model, grid, *backend);
  std::optional<FrozenModel> reference, judge;
  if (config.reference) reference.emplace(*config.reference, grid, *backend);
  if (config.judge) {
    judge_grid.emplace(ProcessGrid::planned(config.judge_grid, rank));
    judge.emplace(*config.judge, *judge_grid, *backend);
  }
  for (FrozenModel* each : {&model, reference ? &*reference : nullptr, judge ? &*judge : nullptr})
    if (each != nullptr) each->initialise(0);  // loading takes the same memory
  std::optional<Generator> generator;
  if (config.generator) {
    generator.emplace(model.model(), *config.generator);
    respond(*generator, config.grid, config.generator->slots);
  }
  if (config.micro > 0) {
    look(model, config.grid, config.micro, config.length);
    if (reference) look(*reference, config.grid, config.micro, config.length);
    if (judge) look(*judge, config.judge_grid, config.micro, config.length);
  }
  return rank_plan(pipeline, model.model(), *backend);
}

}  // namespace

std::vector<RankPlan> make_inference_plan(const InferenceConfig& config) {
  std::vector<RankPlan> ranks;
  for (int pipeline = 0; pipeline < config.grid.pipeline; ++pipeline) ranks.push_back(plan_rank(config, pipeline));
  return ranks;
}

}  // namespace coxswain
