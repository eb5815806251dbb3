// What --check counts for phases that train nothing: weights of every model, a cache where there are responses, the
// work of whole texts, and nothing of a training.
#include "rl/inference_plan.h"

#include <gtest/gtest.h>

#include "kernels/compressed.h"

namespace coxswain {
namespace {

constexpr int kSlots = 3, kLength = 100;  // the cache has two blocks of 64

ModelConfig model_of(int hidden, HeadKind head) {
  ModelConfig model;
  model.layers = 4;
  model.hidden = hidden;
  model.heads = 4;
  model.vocabulary = 512;
  model.context = 128;
  model.head = head;
  model.check();
  return model;
}

GridConfig grid_of(int pipeline) {
  GridConfig grid;
  grid.pipeline = pipeline;
  grid.check(0);
  return grid;
}

InferenceConfig generation(int pipeline) {
  InferenceConfig config;
  config.model = model_of(64, HeadKind::language);
  config.grid = config.judge_grid = grid_of(pipeline);
  config.length = kLength;
  config.generator = GeneratorConfig{.slots = kSlots, .context = kLength};
  return config;
}

std::size_t bytes(const RankPlan& rank, MemoryKind kind) { return rank.bytes[static_cast<std::size_t>(kind)]; }

// The pool rounds up, by less than this.
void expect_about(std::size_t got, std::int64_t exact) {
  EXPECT_GE(got, static_cast<std::size_t>(exact));
  EXPECT_LE(static_cast<double>(got), 1.15 * static_cast<double>(exact));
}

TEST(InferencePlan, OfGenerationIsWeightsAndCache) {
  const InferenceConfig config = generation(1);
  const std::vector<RankPlan> ranks = make_inference_plan(config);
  ASSERT_EQ(ranks.size(), 1u);
  expect_about(bytes(ranks[0], MemoryKind::weights), 4 * config.model.parameter_count());
  expect_about(bytes(ranks[0], MemoryKind::cache), std::int64_t{4} * 2 * 4 * kSlots * 128 * 64);
  EXPECT_GT(bytes(ranks[0], MemoryKind::activations), 0u);
  for (const MemoryKind none : {MemoryKind::gradients, MemoryKind::optimizer, MemoryKind::communication})
    EXPECT_EQ(bytes(ranks[0], none), 0u);
  EXPECT_EQ(ranks[0].checkpoint_bytes, 0u);
}

TEST(InferencePlan, OfGenerationInAPipelineHasEachStagesLayers) {
  const std::vector<RankPlan> ranks = make_inference_plan(generation(2));
  ASSERT_EQ(ranks.size(), 2u);
  for (const RankPlan& rank : ranks) {
    ASSERT_EQ(rank.layers.size(), 1u);
    const std::int64_t slots = 4;  // two groups of two
    expect_about(bytes(rank, MemoryKind::cache), 4 * 2 * rank.layers[0].second * slots * 128 * 64);
  }
}

// Of a large output projection [16384, 64], in 28 bits of 32.
TEST(InferencePlan, OfFewSlotsHasCompressedWeightsOutsideTheGpu) {
  InferenceConfig config = generation(1);
  config.model.vocabulary = 16384;
  EXPECT_EQ(bytes(make_inference_plan(config)[0], MemoryKind::compressed), 0u);
  config.generator->compress_weights = true;
  config.generator->slots = 2;
  const RankPlan few = make_inference_plan(config)[0];
  EXPECT_EQ(bytes(few, MemoryKind::compressed), 16384u * 64u * 7 / 2);
  EXPECT_EQ(few.on_gpu(), few.total() - bytes(few, MemoryKind::compressed));
  config.generator->slots = static_cast<int>(compressed_rows()) + 1;
  EXPECT_EQ(bytes(make_inference_plan(config)[0], MemoryKind::compressed), 0u);
}

TEST(InferencePlan, OfTextsHasTheirActivationsAndNoCache) {
  InferenceConfig config = generation(1);
  config.generator.reset();
  config.micro = 1;
  const std::size_t one = bytes(make_inference_plan(config)[0], MemoryKind::activations);
  config.micro = 8;
  const RankPlan eight = make_inference_plan(config)[0];
  EXPECT_GT(bytes(eight, MemoryKind::activations), 4 * one);
  EXPECT_EQ(bytes(eight, MemoryKind::cache), 0u);
}

TEST(InferencePlan, HasTheWeightsOfReferenceAndJudge) {
  InferenceConfig config = generation(1);
  config.micro = 1;
  config.reference = config.model;
  config.judge = model_of(128, HeadKind::scalar);
  expect_about(bytes(make_inference_plan(config)[0], MemoryKind::weights),
               4 * (2 * config.model.parameter_count() + config.judge->parameter_count()));
}

}  // namespace
}  // namespace coxswain
