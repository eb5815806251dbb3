// Where the time of PPO goes: the bytes of the cache by a case worked by hand, and the table of a tiny run.
#include "phases/ppo_benchmark.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace coxswain {
namespace {

constexpr int kLayers = 4, kEpisodes = 8, kPrompt = 3, kNew = 4;

ModelConfig model(HeadKind head, Precision precision) {
  ModelConfig model;
  model.layers = kLayers;
  model.hidden = 32;
  model.heads = 4;
  model.kv_heads = 2;
  model.vocabulary = 40;
  model.context = kPrompt + kNew;
  model.head = head;
  model.precision = precision;
  model.check();
  return model;
}

PpoBenchmarkConfig config_of(const GridConfig& grid, Precision precision = Precision::fp32) {
  PpoBenchmarkConfig config;
  config.models.policy = model(HeadKind::language, precision);
  config.models.reward = model(HeadKind::scalar, precision);
  config.models.batch.micro = 2;
  config.models.batch.length = kPrompt + kNew;
  config.models.ppo.episodes = kEpisodes;
  config.models.ppo.minibatch = 4;
  config.models.ppo.pretrain_coefficient = 1;
  config.models.ppo.pretrain_per_episode = 1;
  config.reward_grid = grid;
  config.slots = 4;
  config.new_tokens = kNew;
  return config;
}

GridConfig grid_of(int tensor, int pipeline, int data) {
  GridConfig grid;
  grid.tensor = tensor, grid.pipeline = pipeline, grid.data = data;
  grid.tensor_shards = 2, grid.data_shards = 2;
  grid.check(tensor * pipeline * data);
  return grid;
}

// A token is drawn at positions 2, 3, 4 and 5, which look at 3 + 4 + 5 + 6 = 18 keys and as many values: of 4 layers, 2
// key heads of 8 numbers.
TEST(PpoBenchmark, CountsWhatIsReadOfTheCache) {
  constexpr double kNumbers = 2.0 * 18 * 4 * 2 * 8;  // of an episode
  const auto read = [](const GridConfig& shape, Precision precision) {
    const auto backend = make_counting_backend();
    const ProcessGrid grid = ProcessGrid::planned(shape, 0);
    return PpoBenchmark(config_of(shape, precision), grid, *backend).cache_bytes_read();
  };
  EXPECT_EQ(read(grid_of(1, 1, 1), Precision::fp32), kEpisodes * kNumbers * 4);
  EXPECT_EQ(read(grid_of(1, 1, 1), Precision::bf16), kEpisodes * kNumbers * 2);
  EXPECT_EQ(read(grid_of(2, 1, 1), Precision::fp32), kEpisodes * kNumbers * 4 / 2);
  EXPECT_EQ(read(grid_of(1, 2, 1), Precision::fp32), kEpisodes * kNumbers * 4 / 2);
  EXPECT_EQ(read(grid_of(1, 1, 2), Precision::fp32), kEpisodes * kNumbers * 4 / 2);
}

// Its rows by name: seconds, share of the step, floor, share of the floor.
TEST(PpoBenchmark, ATableOfAllParts) {
  const GridConfig shape = grid_of(1, 1, 1);
  const auto backend = make_cpu_backend();
  const ProcessGrid grid = ProcessGrid::planned(shape, 0);
  PpoBenchmarkConfig config = config_of(shape);
  config.rollouts = 2;
  PpoBenchmark benchmark(config, grid, *backend);
  EXPECT_EQ(benchmark.total_steps(), 2);
  while (benchmark.step() < benchmark.total_steps())
    EXPECT_EQ(benchmark.run_step().tokens, kEpisodes * (kPrompt + kNew));
  benchmark.finish();
  const std::string table = benchmark.summary();
  std::map<std::string, std::vector<double>> rows;
  for (const char* name : {"responses", "assessment", "policy update", "the same with text", "value update", "step"}) {
    const std::size_t place = table.find(std::string("\n") + name + " ");
    ASSERT_NE(place, std::string::npos) << name << " is missing:" << table;
    std::istringstream numbers(table.substr(place + 21, table.find('\n', place + 1) - place - 21));
    for (double number = 0; numbers >> number;) rows[name].push_back(number);
  }
  double shares = 0;
  for (const auto& [name, numbers] : rows) {
    ASSERT_EQ(numbers.size(), name == "step" ? 1u : 4u) << table;
    for (const double number : numbers) EXPECT_GE(number, 0) << table;
    if (name != "step" && name != "policy update") shares += numbers[1];  // which "the same with text" holds
  }
  EXPECT_NEAR(shares, 100, 0.5) << table;
  EXPECT_THAT(table, testing::HasSubstr("One rollout of 8 episodes"));
}

}  // namespace
}  // namespace coxswain
