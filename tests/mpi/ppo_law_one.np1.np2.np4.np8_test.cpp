// Law 1 for the four models of PPO, each pair on a grid of its own: what they say of a rollout, the updates with
// pre-training text, and the moving average have the bits of one rank.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>

#include "collected_state.h"
#include "mpi_test.h"
#include "rl/ppo_models.h"

namespace coxswain {
namespace {

constexpr int kLength = 16, kEpisodes = 8;

PpoModelConfig small_config(Precision precision) {
  PpoModelConfig config;
  ModelConfig& model = config.policy;
  model.layers = 2;
  model.hidden = 16;
  model.heads = 4;
  model.vocabulary = 61;
  model.context = kLength;
  model.vocabulary_multiple = 8;
  model.initial_deviation = 0.2;
  model.precision = precision;
  config.reward = model;
  config.reward.head = HeadKind::scalar;
  config.reward.hidden = 24;
  config.policy.check();
  config.reward.check();
  config.batch.micro = 1;
  config.batch.length = kLength;
  config.optimizer.clip_norm = 0.7;
  config.ppo.pretrain_coefficient = 3;
  config.ppo.pretrain_per_episode = 2;
  config.seed = 11;
  return config;
}

std::int32_t token_at(std::int64_t sequence, int place) {
  return static_cast<std::int32_t>((sequence * 29 + place * place * 7 + place * 3) % 61);
}

Rollout sample_rollout() {
  Rollout rollout;
  for (int i = 0; i < kEpisodes; ++i) {
    Episode episode;
    episode.prompt_length = 2 + i % 3;
    for (int t = 0; t < episode.prompt_length + 1 + i; ++t) episode.tokens.push_back(token_at(i, t));
    rollout.episodes.push_back(episode);
  }
  return rollout;
}

MicroBatch pretraining(std::int64_t first, int count) {
  MicroBatch batch;
  batch.sequences = count;
  batch.length = 8;
  for (int s = 0; s < count; ++s)
    for (int t = 0; t < batch.length; ++t) {
      batch.tokens.push_back(token_at(first + s + 100, t));
      batch.targets.push_back(token_at(first + s + 100, t + 1));
      batch.weights.push_back(1.0f);
      batch.positions.push_back(t);
    }
  return batch;
}

struct Outcome {
  std::vector<double> numbers;
  Collector::Boxes boxes;
};

void note(const StepResult& result, std::vector<double>& numbers) {
  numbers.push_back(result.loss);
  numbers.push_back(result.gradient_norm);
  for (const auto& terms : result.terms) numbers.insert(numbers.end(), terms.begin(), terms.end());
}

Outcome run(const PpoModelConfig& config, const ProcessGrid& grid, const ProcessGrid& reward_grid) {
  const auto backend = make_cpu_backend();
  PpoModels models(config, grid, reward_grid, *backend);
  models.initialise();
  models.park_frozen();
  Rollout rollout = sample_rollout();
  models.assess(rollout);
  Outcome outcome;
  for (Episode& episode : rollout.episodes) {
    outcome.numbers.push_back(static_cast<double>(episode.score));
    for (int j = 0; j < episode.response_length(); ++j) {
      const auto i = static_cast<std::size_t>(j);
      for (const auto* values : {&episode.log_probs, &episode.reference_log_probs, &episode.values})
        outcome.numbers.push_back(static_cast<double>((*values)[i]));
      episode.advantages.push_back(static_cast<float>(j % 3) - 0.5f);
      episode.returns.push_back(episode.values[i] + episode.advantages[i]);
    }
  }
  for (int update = 1; update <= 2; ++update) {
    const std::array<std::int64_t, 4> order{update, 5, 0, 7};
    const auto result = models.update({&rollout, order, update, pretraining}, 1e-2, 2e-2);
    note(result.policy, outcome.numbers);
    note(result.value, outcome.numbers);
  }
  Collector collector;
  models.visit(collector);
  outcome.boxes = std::move(collector.boxes);
  return outcome;
}

GridConfig grid_of(int tensor, int pipeline) {
  GridConfig grid;
  grid.tensor = tensor;
  grid.pipeline = pipeline;
  grid.data = world().size() / (tensor * pipeline);
  grid.tensor_shards = 2;
  grid.data_shards = 4;
  return grid;
}

std::vector<GridConfig> all_grids() {
  std::vector<GridConfig> grids;
  for (int tensor = 1; tensor <= 2; ++tensor)
    for (int pipeline = 1; pipeline <= 2; ++pipeline) {
      GridConfig grid = grid_of(tensor, pipeline);
      if (grid.data < 1 || grid.data > 4 || grid.tensor * grid.pipeline * grid.data != world().size()) continue;
      grid.check(world().size());
      grids.push_back(grid);
    }
  return grids;
}

TEST(PpoLawOne, EveryPairOfGridsGivesTheBitsOfOneRank) {
  for (const Precision precision : {Precision::fp32, Precision::bf16})
    for (const bool park : {false, true}) {
      PpoModelConfig config = small_config(precision);
      config.ppo.park_models = park;
      GridConfig one;
      one.data = 1;
      one.tensor_shards = 2;
      one.data_shards = 4;
      one.check(1);
      const Outcome serial = run(config, ProcessGrid::planned(one, 0), ProcessGrid::planned(one, 0));
      const std::vector<GridConfig> grids = all_grids();
      for (std::size_t g = 0; g < grids.size(); ++g) {
        const ProcessGrid grid(world(), grids[g]), reward_grid(world(), grids[(g + 1) % grids.size()]);
        const Outcome mine = run(config, grid, reward_grid);
        const std::string where = fmt::format("policy {}, reward {}", grid.coordinates(), reward_grid.coordinates());
        EXPECT_EQ(mine.numbers, serial.numbers) << where;
        expect_same_boxes(mine.boxes, serial.boxes, where);
        if (HasFailure()) return;
      }
    }
}

// At the start policy and reference are one model, and nothing has been learnt: every ratio is 1.
TEST(PpoLawOne, StartsFromTheReference) {
  const PpoModelConfig config = small_config(Precision::fp32);
  const auto grids = all_grids();
  const ProcessGrid grid(world(), grids.front());
  const auto backend = make_cpu_backend();
  PpoModels models(config, grid, grid, *backend);
  models.initialise();
  models.park_frozen();
  Rollout rollout = sample_rollout();
  models.assess(rollout);
  for (Episode& episode : rollout.episodes) {
    EXPECT_EQ(episode.log_probs, episode.reference_log_probs);
    episode.advantages.assign(episode.log_probs.size(), 2.0f);
    episode.returns = episode.values;
  }
  const std::array<std::int64_t, 4> order{0, 1, 2, 3};
  const auto result = models.update({&rollout, order, 1, pretraining}, 0.0, 0.0);
  EXPECT_NEAR(result.policy.terms[0][PolicyLoss::kLoss], -2.0, 1e-6);  // -advantage x ratio
  EXPECT_EQ(result.policy.terms[0][PolicyLoss::kClipFraction], 0.0);
  EXPECT_NEAR(result.policy.terms[0][PolicyLoss::kApproximateKl], 0.0, 1e-7);
  EXPECT_NEAR(result.value.loss, 0.0, 1e-12);
  EXPECT_NEAR(result.policy.loss, -2.0 + 3 * result.policy.terms[1][0], 1e-6);
}

}  // namespace
}  // namespace coxswain
