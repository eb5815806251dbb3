// The batch ramp by hand, and what the typed structs refuse.
#include "train/config.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "data/config.h"
#include "io/config.h"
#include "phases/config.h"

namespace coxswain {
namespace {

template <class Config>
std::string refusal(const Config& config) {
  try {
    config.check();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "accepted";
}

TEST(BatchConfig, RampsLinearlyInTokensAndWholeUnits) {
  BatchConfig batch{.global = 256, .micro = 1, .length = 2048, .ramp_start = 16, .ramp_tokens = 4'000'000'000};
  EXPECT_EQ(batch.global_at(0, 8), 16);
  EXPECT_EQ(batch.global_at(1'000'000'000, 8), 72);   // 16 + 240 / 4 = 76, rounded down to a multiple of 8
  EXPECT_EQ(batch.global_at(2'000'000'000, 8), 136);  // 16 + 120
  EXPECT_EQ(batch.global_at(3'999'999'999, 8), 248);
  EXPECT_EQ(batch.global_at(4'000'000'000, 8), 256);
  EXPECT_EQ(batch.global_at(0, 32), 32);  // never less than one unit
  batch.ramp_start = 0;
  EXPECT_EQ(batch.global_at(0, 8), 256);
}

TEST(BatchConfig, Refuses) {
  EXPECT_EQ(refusal(BatchConfig{.global = 10, .micro = 4}), "accepted");  // not every phase has a global batch
  EXPECT_EQ(refusal(BatchConfig{.global = 8, .ramp_start = 4}),
            "[batch] ramp_tokens = 0 must be positive when [batch] ramp_start is given");
  EXPECT_EQ(refusal(BatchConfig{.global = 8, .ramp_start = 9, .ramp_tokens = 1}),
            "[batch] ramp_start = 9 must lie between 0 (no ramp) and [batch] global = 8");
}

TEST(OptimizerConfig, Refuses) {
  EXPECT_EQ(refusal(OptimizerConfig{}), "accepted");
  EXPECT_EQ(refusal(OptimizerConfig{.warmup_steps = 5, .warmup_tokens = 7}),
            "[optimizer] warmup_tokens = 7 and [optimizer] warmup_steps = 5 exclude each other; give one");
  EXPECT_EQ(refusal(OptimizerConfig{.warmup_steps = 50, .decay_steps = 10}),
            "[optimizer] decay_steps = 10 ends before the warm-up: [optimizer] warmup_steps = 50");
  EXPECT_EQ(refusal(OptimizerConfig{.beta2 = 1.0}), "[optimizer] beta2 = 1 must be at least 0 and less than 1");
}

TEST(DataConfig, ParsesWeightedSources) {
  const auto sources = parse_sources("a.h5:60, b.h5 ,dir/c:0.5");
  ASSERT_EQ(sources.size(), 3u);
  EXPECT_EQ(sources[0], (DataSource{"a.h5", 60.0}));
  EXPECT_EQ(sources[1], (DataSource{"b.h5", 1.0}));
  EXPECT_EQ(sources[2], (DataSource{"dir/c", 0.5}));
  for (const char* bad : {"a.h5:x", "a.h5:0", "a.h5:-1", "a,,b", ":3", "a, synthetic"}) {
    EXPECT_THROW(parse_sources(bad), Error) << bad;
  }
}

TEST(DataConfig, Refuses) {
  DataConfig data;
  data.source = "synthetic";
  EXPECT_EQ(refusal(data), "accepted");
  data.source = "a:b";
  EXPECT_EQ(
      refusal(data),
      "[data] source = a:b: 'b' is no weight; use path or path:weight with a positive number, and for a path with "
      "a colon in it always path:weight, a:b:1");
  EXPECT_EQ(parse_sources("a:b:1").front(), (DataSource{"a:b", 1.0}));
  data = DataConfig{};
  data.tokenizer = TokenizerKind::gpt2;
  EXPECT_EQ(refusal(data), "[data] vocabulary_file must be given when [data] tokenizer = gpt2");
}

TEST(RunConfigs, Refuse) {
  RunConfig run;
  run.directory = "";
  EXPECT_EQ(refusal(run), "[run] directory =  must name a folder");
  EXPECT_EQ(refusal(CheckpointConfig{.every = -1}),
            "[checkpoint] every = -1 must not be negative; 0 is only at the end");
  GenerateConfig generate;
  generate.prompt = "a";
  generate.prompts = "b";
  EXPECT_EQ(refusal(generate), "[generate] prompts = b and [generate] prompt exclude each other; give one");
}

}  // namespace
}  // namespace coxswain
