// Demonstrations with pre-training text between them: shares, weights, ends, restarts.
#include "data/fine_tuning_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "memory_archive.h"

namespace coxswain {
namespace {

constexpr int kLength = 8;

// Demonstration i: six rows, the last two of them learned; one fits into a sequence. Its tokens are 100 + i.
std::vector<Demonstration> demonstrations(int count) {
  std::vector<Demonstration> all;
  for (int i = 0; i < count; ++i) all.push_back({std::vector<std::int32_t>(7, 100 + i), {0, 0, 0, 0, 0, 1, 1}, "", ""});
  return all;
}

FineTuningSource source_of(double text_share, int epochs = 0, int count = 20) {
  std::optional<BatchSource> text;
  DataConfig config;
  config.source = "synthetic";  // tokens below 100
  if (text_share > 0) text.emplace(config, BatchSource::Options{.length = kLength, .vocabulary = 100, .seed = 1});
  PackedDemonstrations packed(demonstrations(count), {.length = kLength, .packing = true, .shuffle = true, .seed = 1});
  return FineTuningSource(std::move(packed), std::move(text), {.text_share = text_share, .epochs = epochs});
}

bool is_text(const MicroBatch& batch, int row) { return batch.targets[static_cast<std::size_t>(row) * kLength] < 100; }

double sum(const std::vector<float>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

TEST(FineTuningSource, TextHasItsShareOfTheSequences) {
  FineTuningSource source = source_of(0.1);
  const FineTuningSource::Contents contents = source.contents(200);
  EXPECT_EQ(contents.text.sequences, 20);
  EXPECT_EQ(contents.text.tokens, 20 * kLength);
  EXPECT_EQ(contents.demonstrations.sequences, 180);
  EXPECT_EQ(contents.demonstrations.tokens, 180 * 2);
  const MicroBatch batch = source.micro_batch(0, 200, 1);
  int text = 0;
  for (int row = 0; row < 200; ++row) text += is_text(batch, row);
  EXPECT_EQ(text, 20);
}

TEST(FineTuningSource, EachKindCountsAsItsSequencesDo) {
  FineTuningSource source = source_of(0.25);
  const FineTuningSource::Contents contents = source.contents(8);
  ASSERT_EQ(contents.text.sequences, 2);
  const double demonstration_scale = contents.demonstrations.scale(contents.sequences());
  const double text_scale = contents.text.scale(contents.sequences());
  EXPECT_DOUBLE_EQ(demonstration_scale * 12, 0.75);
  EXPECT_DOUBLE_EQ(text_scale * 16, 0.25);
  const MicroBatch batch = source.micro_batch(0, 8, text_scale / demonstration_scale);
  EXPECT_NEAR(sum(batch.weights) * demonstration_scale, 1.0, 1e-6);
  EXPECT_EQ(sum(batch.columns[0]), 12);
  EXPECT_EQ(sum(batch.columns[1]), 16);
  for (std::size_t i = 0; i < batch.weights.size(); ++i) {
    const bool text = is_text(batch, static_cast<int>(i / kLength));
    EXPECT_FLOAT_EQ(batch.weights[i], text ? 0.25f / 16 / (0.75f / 12) : i % kLength == 4 || i % kLength == 5);
    EXPECT_EQ(batch.columns[1][i], text ? 1.0f : 0.0f);
  }
}

TEST(FineTuningSource, WithoutTextWeightsAreOnesAndZeros) {
  FineTuningSource source = source_of(0);
  EXPECT_EQ(source.contents(8).text.tokens, 0);
  EXPECT_EQ(source.contents(8).text.scale(8), 0);
  const MicroBatch batch = source.micro_batch(0, 8, 0);
  EXPECT_EQ(sum(batch.weights), 16);
  EXPECT_EQ(batch.weights, batch.columns[0]);
}

// 20 demonstrations, 3 epochs: 60 sequences of them, and one of text for each three.
TEST(FineTuningSource, EndsWithTheLastEpoch) {
  EXPECT_EQ(source_of(0).total(), 0);
  EXPECT_EQ(source_of(0, 3).total(), 60);
  FineTuningSource source = source_of(0.25, 3);
  EXPECT_NEAR(static_cast<double>(source.total()), 80, 1);
  const auto total = static_cast<int>(source.total());
  const FineTuningSource::Contents all = source.contents(total + 10);
  EXPECT_EQ(all.demonstrations.sequences, 60);
  EXPECT_EQ(all.sequences(), total);
  source.advance(total - 2);
  const MicroBatch last = source.micro_batch(0, 5, 1);
  EXPECT_GT(sum({last.weights.begin(), last.weights.begin() + 2 * kLength}), 0);
  EXPECT_EQ(sum({last.weights.begin() + 2 * kLength, last.weights.end()}), 0) << "behind the end is padding";
  EXPECT_EQ(source.contents(5).sequences(), 2);
}

TEST(FineTuningSource, GoesOnAfterARestart) {
  FineTuningSource whole = source_of(0.3);
  const MicroBatch expected = whole.micro_batch(0, 100, 1);
  FineTuningSource killed = source_of(0.3);
  killed.micro_batch(20, 10, 1);  // another rank's part
  killed.advance(37);
  MemoryArchive written;
  killed.visit(written);
  FineTuningSource resumed = source_of(0.3);
  MemoryArchive archive = MemoryArchive::reader(written);
  resumed.visit(archive);
  EXPECT_EQ(resumed.consumed(), 37);
  const MicroBatch rest = resumed.micro_batch(0, 63, 1);
  EXPECT_TRUE(std::equal(rest.tokens.begin(), rest.tokens.end(), expected.tokens.begin() + 37 * kLength));
  EXPECT_TRUE(std::equal(rest.weights.begin(), rest.weights.end(), expected.weights.begin() + 37 * kLength));
}

}  // namespace
}  // namespace coxswain
