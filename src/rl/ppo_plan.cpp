#include "rl/ppo_plan.h"

#include <algorithm>
#include <numeric>

#include "train/plan.h"

namespace coxswain {

namespace {

// Memory that a model alone takes: what was taken from the system while it was made.
template <class Make>
PpoPlan::OfModel take(const std::string& name, const ModelConfig& config, Make&& make) {
  const auto backend = make_counting_backend();
  const auto model = make(*backend);
  PpoPlan::OfModel row;
  row.name = name;
  row.parameters = config.parameter_count();
  row.bytes = backend->memory().taken_by_kind;
  return row;
}

// A model that is trained, with its optimizer.
struct Trained {
  Trained(const PpoModelConfig& config, const ModelConfig& shape, const ProcessGrid& grid, Backend& backend,
          double average_decay)
      : context{backend, grid, shape}, model(context), trainer(model, config.batch, config.optimizer) {
    if (average_decay > 0) average.emplace(model, trainer.weights(), average_decay);
  }
  ModelContext context;
  Model model;
  Trainer trainer;
  std::optional<WeightAverage> average;
};

std::vector<PpoPlan::OfModel> models_of(const PpoModelConfig& config, const ProcessGrid& grid,
                                        const ProcessGrid& reward_grid) {
  const auto trained = [&](const char* name, const ModelConfig& shape, const ProcessGrid& cut, double decay) {
    return take(name, shape,
                [&](Backend& backend) { return std::make_unique<Trained>(config, shape, cut, backend, decay); });
  };
  const auto frozen = [&](const char* name, const ModelConfig& shape, const ProcessGrid& cut) {
    PpoPlan::OfModel row =
        take(name, shape, [&](Backend& backend) { return std::make_unique<FrozenModel>(shape, cut, backend); });
    row.parked = config.ppo.park_models;
    return row;
  };
  return {trained("policy", config.policy, grid, config.ppo.average_decay), frozen("reference", config.policy, grid),
          frozen("reward model", config.reward, reward_grid), trained("value model", config.reward, reward_grid, 0)};
}

// As many episodes as show a step's memory, on both grids.
int representative_episodes(const PpoModelConfig& config, const GridConfig& grid, const GridConfig& reward_grid) {
  const int unit = std::lcm(grid.data_shards, reward_grid.data_shards) * config.batch.micro;
  const int in_flight = std::max(representative_micro_batches(grid), representative_micro_batches(reward_grid));
  const int per_unit = unit / std::max(grid.data, reward_grid.data) / config.batch.micro;
  const int wanted = (in_flight + per_unit - 1) / std::max(1, per_unit) * unit;
  return std::min(std::max(unit, config.ppo.minibatch / unit * unit), wanted);
}

Rollout longest_episodes(const PpoModelConfig& config, int count) {
  Rollout rollout;
  Episode episode;
  episode.tokens.assign(static_cast<std::size_t>(config.batch.length), 0);
  episode.prompt_length = config.batch.length / 2;
  const auto response = static_cast<std::size_t>(episode.response_length());
  for (auto member : {&Episode::log_probs, &Episode::values, &Episode::advantages, &Episode::returns})
    (episode.*member).assign(response, 0.0f);
  rollout.episodes.assign(static_cast<std::size_t>(count), episode);
  return rollout;
}

// Keys and values of a group of slots for each pipeline stage, over the layers that this rank holds.
std::size_t cache_bytes(const PpoModelConfig& config, const ProcessGrid& grid, int slots) {
  const ModelConfig& model = config.policy;
  std::int64_t layers = 0;
  const GridConfig& cut = grid.config();
  const std::vector<int> dealt = deal_layers(model, cut.pipeline * cut.virtual_stages);
  for (int chunk = 0; chunk < cut.virtual_stages; ++chunk)
    layers += dealt[static_cast<std::size_t>(chunk * cut.pipeline + grid.pipeline_rank())];
  const std::int64_t per_token = 2 * layers * model.kv_heads / cut.tensor * model.head_size;
  const std::int64_t bytes = model.precision == Precision::bf16 ? 2 : 4;
  return static_cast<std::size_t>(per_token * bytes * slots * config.batch.length);
}

std::vector<PpoPlan::OfPart> parts_of(const PpoModelConfig& config, const ProcessGrid& grid,
                                      const ProcessGrid& reward_grid, int slots) {
  const auto backend = make_counting_backend();
  PpoModels models(config, grid, reward_grid, *backend);
  models.park_frozen();
  const std::size_t resident = backend->memory().in_use;
  std::vector<PpoPlan::OfPart> parts{{"responses", resident, cache_bytes(config, grid, slots)}};
  const auto watch = [&](const char* name, const auto& work) {
    backend->reset_peak();
    work();
    parts.push_back({name, resident, backend->memory().peak - resident});
  };
  const int count = representative_episodes(config, grid.config(), reward_grid.config());
  Rollout rollout = longest_episodes(config, count);
  watch("assessment", [&] { models.assess(rollout); });
  std::vector<std::int64_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  const auto text = [&](std::int64_t, int sequences) { return blank_micro_batch(sequences, config.batch.length); };
  const PpoModels::Minibatch minibatch{&rollout, order, 1, text};
  watch("policy update", [&] { models.update_policy(minibatch, 0); });
  watch("value update", [&] { models.update_value(minibatch, 0); });
  return parts;
}

}  // namespace

std::size_t PpoPlan::Rank::peak() const {
  std::size_t most = 0;
  for (const OfPart& part : parts) most = std::max(most, part.total());
  return most;
}

const PpoPlan::Rank& PpoPlan::largest() const {
  return *std::max_element(ranks.begin(), ranks.end(),
                           [](const Rank& a, const Rank& b) { return a.peak() < b.peak(); });
}

PpoPlan make_ppo_plan(const PpoModelConfig& config, const GridConfig& grid, const GridConfig& reward_grid, int slots) {
  PpoPlan plan;
  for (int pipeline = 0; pipeline < grid.pipeline; ++pipeline) {
    const int rank = pipeline * grid.tensor * grid.data;
    const ProcessGrid own = ProcessGrid::planned(grid, rank), reward = ProcessGrid::planned(reward_grid, rank);
    plan.ranks.push_back({rank, models_of(config, own, reward), parts_of(config, own, reward, slots)});
  }
  return plan;
}

}  // namespace coxswain
