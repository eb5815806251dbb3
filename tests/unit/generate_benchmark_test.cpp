// Where the time of generation goes: operations of a tiny run beside their floors, and what they read of the caches.
#include "phases/generate_benchmark.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace coxswain {
namespace {

constexpr int kLayers = 2, kHidden = 32, kPrompts = 6, kPrompt = 3, kNew = 4, kRounds = 3, kVocabulary = 128;

GenerateBenchmarkConfig tiny() {
  GenerateBenchmarkConfig config;
  config.model.layers = kLayers;
  config.model.hidden = kHidden;
  config.model.heads = 4;
  config.model.vocabulary = kVocabulary;
  config.model.context = config.length = kPrompt + kNew;
  config.model.check();
  config.generate.synthetic_prompts = kPrompts;
  config.generate.synthetic_prompt_tokens = kPrompt;
  config.generate.max_new_tokens = kNew;
  config.generate.slots = 2;
  config.rounds = kRounds;
  return config;
}

class GenerateBenchmarkTest : public testing::Test {
 protected:
  GenerateBenchmarkTest() {
    one.check(1);
    while (benchmark.step() < benchmark.total_steps()) EXPECT_EQ(benchmark.run_step().tokens, kPrompts * kNew);
  }
  GridConfig one;
  const ProcessGrid grid = ProcessGrid::planned(one, 0);
  const std::unique_ptr<Backend> backend = make_cpu_backend();
  GenerateBenchmark benchmark{tiny(), grid, *backend};
};

// The first round is left out. A pass of prompts and three tokens behind them for each pair of six prompts, give or
// take what overlaps.
TEST_F(GenerateBenchmarkTest, CountsTheRoundsThatCountAndTheirCaches) {
  constexpr double kSpeed = 1e9;
  const auto operations = benchmark.operations({0, kSpeed});
  const auto attention = std::find_if(operations.begin(), operations.end(),
                                      [](const auto& known) { return known.name == "cached_attention"; });
  ASSERT_NE(attention, operations.end());
  EXPECT_GE(attention->cost.calls, (kRounds - 1) * kLayers * 3 * kNew);
  EXPECT_LE(attention->cost.calls, (kRounds - 1) * kLayers * 3 * (kNew + 1));
  // Drawn at positions 2 to 5, which look at 3 + 4 + 5 + 6 = 18 keys and as many values of FP32; beside them the rows
  // of three prompt tokens and three drawn ones: a query, key and value, the places of the last two, and the result.
  const double round = kPrompts * (2 * 18.0 + 6 * (kPrompt + kNew - 1)) * kLayers * kHidden * 4;
  EXPECT_EQ(attention->cost.bytes, (kRounds - 1) * round);
  EXPECT_EQ(attention->floor, attention->cost.bytes / kSpeed);
}

// Prompts at the rate of products, the rest at the rate of the memory, each the longer of both.
TEST_F(GenerateBenchmarkTest, FloorsOfPromptsAndOfDecodingAddUp) {
  const auto product = [](const std::vector<TimedOperation>& operations) {
    return *std::find_if(operations.begin(), operations.end(),
                         [](const auto& one) { return one.name == "linear_rows"; });
  };
  const TimedOperation by_flops = product(benchmark.operations({1e9, 0})),
                       by_bytes = product(benchmark.operations({0, 1e9})),
                       both = product(benchmark.operations({1e9, 1e9}));
  EXPECT_GT(both.cost.seconds, 0);
  EXPECT_DOUBLE_EQ(by_flops.floor, both.cost.flops / 1e9);
  EXPECT_DOUBLE_EQ(by_bytes.floor, both.cost.bytes / 1e9);
  EXPECT_GE(both.floor, std::max(by_flops.floor, by_bytes.floor));
  // 12 hidden^2 weights a layer for all rows, those of the vocabulary for each token drawn.
  const double rows = kPrompts * (kPrompt + kNew - 1.0);
  EXPECT_EQ(both.cost.flops / (kRounds - 1),
            2 * kHidden * (rows * kLayers * 12 * kHidden + 1.0 * kPrompts * kNew * kVocabulary));
}

TEST_F(GenerateBenchmarkTest, ATable) {
  benchmark.finish();
  const std::string table = benchmark.summary();
  EXPECT_THAT(table, testing::HasSubstr("6 prompts of 3 tokens, 4 new tokens each, 2 slots: rank 0, mean of 2"));
  EXPECT_THAT(table,
              testing::ContainsRegex("linear_rows +[0-9]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9]+\n"));
  EXPECT_THAT(table, testing::ContainsRegex("all, median +[0-9.]+ ms +[0-9]+ tokens/s +[0-9.]+ % of the floor"));
}

// Worked by hand: two steps, the longer operation first.
TEST(OperationTable, MeansOfSteps) {
  const OperationCost product{4, 8e9, 2e9, 2.0}, copy{2, 0, 3e9, 6.0};
  const MachineRates rates{8e9, 1e9};
  EXPECT_EQ(rates.floor(product), 2.0);
  EXPECT_EQ(rates.floor(copy), 3.0);
  EXPECT_EQ((MachineRates{0, 0}.floor(copy)), 0.0) << "not known";
  EXPECT_EQ(operation_table({{"product", product, 1.0}, {"copy", copy, 3.0}}, 2, 5.0),
            "operation                     calls         ms  % step   GFLOP/s      GB/s   floor ms % floor\n"
            "copy                              1    3000.00    60.0       0.0       0.5    1500.00      50\n"
            "product                           2    1000.00    20.0       4.0       1.0     500.00      50\n"
            "all operations                         4000.00    80.0                        2000.00      50\n");
}

}  // namespace
}  // namespace coxswain
