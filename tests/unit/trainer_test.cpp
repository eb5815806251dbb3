// What the trainer makes of its parts: AdamW's step is the one that a hand works out, and a look at the weights after
// it finds numbers that are not finite.
#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "../mpi/collected_state.h"
#include "base/error.h"
#include "token_batch.h"
#include "train/skip_policy.h"

namespace coxswain {
namespace {

constexpr int kLength = 4, kSequences = 4;

// Sequence s has positions 4 s to 4 s + 3.
GlobalBatch tokens() { return token_batch(kSequences, kLength, kSequences * kLength); }

struct Subject {
  explicit Subject(OptimizerConfig optimizer = {}) {
    trainer = std::make_unique<Trainer>(model, BatchConfig(), optimizer);
    trainer->weights().initialise(3);
  }
  static ModelConfig shape() {
    ModelConfig config;
    config.layers = 1;
    config.hidden = 16;
    config.heads = 4;
    config.vocabulary = 61;
    config.context = kLength * kSequences;
    config.initial_deviation = 0.4;
    config.check();
    return config;
  }
  static ProcessGrid planned() {
    GridConfig one;
    one.tensor_shards = 2;
    one.data_shards = 2;
    one.check(1);
    return ProcessGrid::planned(one, 0);
  }
  std::vector<float> all_weights() {
    Collector collector;
    trainer->weights().visit(collector);
    std::vector<float> all;
    for (const auto& [name, boxes] : collector.boxes)
      for (const auto& box : boxes)
        for (const std::uint32_t word : box.words) {
          float value = 0;
          std::memcpy(&value, &word, sizeof value);
          all.push_back(value);
        }
    return all;
  }
  bool sound_with_bad_position(int position) {
    float good = 0;
    const auto place = static_cast<std::size_t>(position * config.hidden);
    trainer->weights().edit("embedding/position", [&](std::span<float> values) {
      good = values[place];
      values[place] = std::numeric_limits<float>::infinity();
    });
    const bool sound = trainer->sound(evaluator);
    trainer->weights().edit("embedding/position", [&](std::span<float> values) { values[place] = good; });
    return sound;
  }

  ModelConfig config = shape();
  ProcessGrid grid = planned();
  std::unique_ptr<Backend> backend = make_cpu_backend();
  ModelContext context{*backend, grid, config};
  Model model{context};
  Evaluator evaluator{model};
  std::unique_ptr<Trainer> trainer;
};

// While the gradient g stays the same, the moments over their corrections are g and g^2 at every step, so that each
// weight moves by the rate: m_n = (1 - beta1^n) g, v_n = (1 - beta2^n) g^2. A correction by another number of steps
// moves it by another distance.
TEST(Trainer, EachStepOfAConstantGradientMovesByTheRate) {
  constexpr double kRate = 1e-5;
  OptimizerConfig optimizer;
  optimizer.weight_decay = 0, optimizer.clip_norm = 0, optimizer.epsilon = 1e-12;
  Subject subject(optimizer);
  const std::vector<float> before = subject.all_weights();
  for (int step = 1; step <= 3; ++step) {
    ASSERT_TRUE(subject.trainer->step(tokens(), kRate).updated);
    const std::vector<float> now = subject.all_weights();
    int moved = 0, by_the_rate = 0;
    for (std::size_t i = 0; i < now.size(); ++i) {
      const double distance = std::abs(static_cast<double>(now[i]) - static_cast<double>(before[i]));
      if (distance == 0) continue;  // of tokens that do not occur
      ++moved;
      if (std::abs(distance / (step * kRate) - 1) < 0.02) ++by_the_rate;
    }
    EXPECT_GT(moved, 2000) << "step " << step;
    EXPECT_GT(by_the_rate, 0.97 * moved) << "step " << step;  // of the others the gradient is nearly 0
  }
}

TEST(SkipPolicy, GivesUpAfterTheLastSkipInARow) {
  OptimizerConfig config;
  config.on_nan = NanPolicy::skip, config.max_skips = 2;
  SkipPolicy skips(config);
  StepResult bad, good;
  good.updated = true;
  for (const StepResult& result : {bad, bad, good, bad, bad}) EXPECT_NO_THROW(skips.see(result));
  EXPECT_EQ(skips.in_a_row(), 2);
  EXPECT_THROW(skips.see(bad), Error);
  skips.see(good);
  EXPECT_EQ(skips.in_a_row(), 0);
  EXPECT_THROW(SkipPolicy(OptimizerConfig()).see(bad), Error);
}

// The same batch twice, the second time with three times the weight: the sum has it, the parts' terms have not.
TEST(Trainer, TellsThePartsWithoutTheirWeights) {
  Subject subject;
  const std::vector<GlobalBatch> once{tokens()};
  std::vector<GlobalBatch> twice{tokens(), tokens()};
  twice[1].weight = 3;
  const StepResult result = subject.trainer->step(twice, 0.0);
  ASSERT_EQ(result.terms.size(), 2u);
  EXPECT_GT(result.terms[0][0], 1);
  EXPECT_NEAR(result.terms[1][0], result.terms[0][0], 1e-6);
  EXPECT_NEAR(result.loss, 4 * result.terms[0][0], 1e-5);
  const StepResult alone = subject.trainer->step(once, 0.0);
  EXPECT_EQ(alone.loss, result.terms[0][0]);
  EXPECT_NEAR(result.gradient_norm, 4 * alone.gradient_norm, 1e-4 * alone.gradient_norm);
}

TEST(Trainer, LooksAtTheFirstMicroBatchOfEachDataShard) {
  Subject subject;
  EXPECT_TRUE(subject.sound_with_bad_position(1)) << "no step has been made";
  ASSERT_TRUE(subject.trainer->step(tokens(), 1e-3).updated);
  EXPECT_TRUE(subject.trainer->sound(subject.evaluator));
  EXPECT_FALSE(subject.sound_with_bad_position(1));
  EXPECT_FALSE(subject.sound_with_bad_position(2 * kLength + 1));
  EXPECT_TRUE(subject.sound_with_bad_position(kLength + 1)) << "the second of the first shard";
  EXPECT_TRUE(subject.sound_with_bad_position(3 * kLength + 1));
  ASSERT_TRUE(subject.trainer->step(tokens(), 1e30).updated);
  EXPECT_FALSE(subject.trainer->sound(subject.evaluator));
}

}  // namespace
}  // namespace coxswain
