// Every deck in inputs/ is valid, and the GPT-3 decks say what Brown et al. 2020 printed.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/deck.h"
#include "settings/settings.h"

namespace coxswain {
namespace {

const std::filesystem::path kInputs = std::filesystem::path(COXSWAIN_SOURCE_DIR) / "inputs";

Settings read(const std::filesystem::path& path) {
  return read_settings(read_deck_text(path.string()), path.string(), {}, 0);
}

TEST(Inputs, EveryDeckIsValid) {
  int decks = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kInputs)) {
    if (entry.path().extension() != ".ini") continue;
    ++decks;
    EXPECT_NO_THROW(read(entry.path())) << entry.path();
  }
  EXPECT_GE(decks, 10);
}

TEST(Inputs, Gpt3DecksFollowTable2_1) {
  struct Row {
    const char* name;
    int layers, hidden, heads, head_size;
    double batch_tokens, learning_rate;
    int ranks;
  };
  const Row table[] = {
      {"125m", 12, 768, 12, 64, 0.5e6, 6.0e-4, 8},  {"350m", 24, 1024, 16, 64, 0.5e6, 3.0e-4, 8},
      {"760m", 24, 1536, 16, 96, 0.5e6, 2.5e-4, 8}, {"1.3b", 24, 2048, 16, 128, 1e6, 2.0e-4, 16},
      {"2.7b", 32, 2560, 32, 80, 1e6, 1.6e-4, 32},  {"6.7b", 32, 4096, 32, 128, 2e6, 1.2e-4, 64},
      {"13b", 40, 5120, 40, 128, 2e6, 1.0e-4, 128}, {"175b", 96, 12288, 96, 128, 3.2e6, 0.6e-4, 1024},
  };
  for (const Row& row : table) {
    SCOPED_TRACE(row.name);
    const Settings settings = read(kInputs / "gpt3" / (std::string(row.name) + ".ini"));
    EXPECT_EQ(settings.model.layers, row.layers);
    EXPECT_EQ(settings.model.hidden, row.hidden);
    EXPECT_EQ(settings.model.heads, row.heads);
    EXPECT_EQ(settings.model.head_size, row.head_size);
    EXPECT_EQ(settings.model.context, 2048);
    EXPECT_EQ(settings.model.vocabulary, 50257);
    EXPECT_NEAR(static_cast<double>(settings.batch.tokens_per_step()) / row.batch_tokens, 1.0, 0.05);
    EXPECT_EQ(settings.optimizer.learning_rate, row.learning_rate);
    EXPECT_EQ(settings.optimizer.warmup_tokens, 375'000'000);
    EXPECT_EQ(settings.optimizer.decay_tokens, 260'000'000'000);
    EXPECT_EQ(settings.grid.ranks(), row.ranks);
  }
}

// run.steps of the decks: 300B tokens, with the ramp taken step by step.
TEST(Inputs, Gpt3DecksEndAt300BillionTokens) {
  for (const char* name : {"125m", "350m", "760m", "1.3b", "2.7b", "6.7b", "13b", "175b"}) {
    const Settings settings = read(kInputs / "gpt3" / (std::string(name) + ".ini"));
    std::int64_t tokens = 0, before_last = 0;
    for (std::int64_t step = 0; step < settings.run.steps; ++step) {
      before_last = tokens;
      const int unit = settings.grid.data_shards * settings.batch.micro;
      tokens += static_cast<std::int64_t>(settings.batch.global_at(tokens, unit)) * settings.batch.length;
    }
    EXPECT_GE(tokens, 300'000'000'000) << name;
    EXPECT_LT(before_last, 300'000'000'000) << name;
  }
}

TEST(Inputs, BenchmarkDeckKeepsTheContract) {
  const Settings settings = read(kInputs / "benchmark" / "gpt2_124m.ini");
  EXPECT_EQ(settings.run.steps, 8);
  EXPECT_EQ(settings.model.parameter_count(), 124'439'808);
  EXPECT_EQ(settings.batch.global, 4);
  EXPECT_EQ(settings.batch.length, 256);
  EXPECT_TRUE(settings.data.synthetic());
  EXPECT_EQ(settings.checkpoint.every, 0);
  EXPECT_FALSE(settings.checkpoint.at_end);
}

}  // namespace
}  // namespace coxswain
