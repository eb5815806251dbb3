// Packing is exact: what a model says of a packed demonstration, and what it learns from it, is what it would say and
// learn of it alone.
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/random.h"
#include "data/packed_demonstrations.h"
#include "model/model.h"
#include "train/evaluator.h"
#include "train/trainer.h"

namespace coxswain {
namespace {

constexpr int kLength = 48, kCount = 14;

ModelConfig model_of(bool llama) {
  ModelConfig model;
  model.layers = 3;
  model.hidden = 32;
  model.heads = 4;
  model.vocabulary = 61;
  model.context = kLength;
  model.initial_deviation = 0.3;
  if (llama) {
    model.kv_heads = 2;
    model.norm = NormKind::rms;
    model.activation = Activation::silu;
    model.gated = true;
    model.positions = PositionKind::rotary;
    model.bias = false;
  } else {
    model.banded_layers = BandedLayers::alternate;
    model.band = 5;
  }
  model.check();
  return model;
}

std::vector<Demonstration> demonstrations() {
  std::vector<Demonstration> all;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const std::size_t tokens = 5 + uniform_integer({1, 0}, i, 20), prompt = 1 + uniform_integer({1, 1}, i, 4);
    Demonstration demonstration;
    for (std::size_t t = 0; t < tokens; ++t) {
      demonstration.tokens.push_back(static_cast<std::int32_t>(uniform_integer({2, i}, t, 61)));
      demonstration.is_response.push_back(t >= prompt);
    }
    all.push_back(std::move(demonstration));
  }
  return all;
}

struct Seen {
  std::vector<double> losses;  // of every learned token, ordered by its demonstration and place
  double mean = 0, trained_mean = 0, gradient_norm = 0;
  std::int64_t sequences = 0;
};

enum class Documents { masked, forgotten };

Seen look(const ModelConfig& config, bool packing, Documents documents = Documents::masked) {
  const ProcessGrid grid = [] {
    GridConfig one;
    one.check(1);
    return ProcessGrid::planned(one, 0);
  }();
  const auto backend = make_cpu_backend();
  const ModelContext context{*backend, grid, config};
  Model model(context);
  Trainer trainer(model, {.micro = 1, .length = kLength}, {});
  trainer.weights().initialise(5);
  PackedDemonstrations packed(demonstrations(), {.length = kLength, .packing = packing, .shuffle = false, .seed = 1});
  GlobalBatch batch;
  batch.size = static_cast<int>(packed.sequences(1));
  batch.load = [&](std::int64_t first, int count) {
    MicroBatch micro = blank_documents(count, kLength);
    for (int row = 0; row < count; ++row) packed.write(first + row, micro, row);
    if (documents == Documents::forgotten) micro.document_start.clear();
    return micro;
  };
  Seen seen;
  seen.sequences = batch.size;
  Evaluator evaluator(model);
  seen.mean = evaluator.terms(batch).front();
  const std::vector<float> outputs = evaluator.outputs(batch);
  const MicroBatch all = batch.load(0, batch.size);
  std::map<std::pair<std::int32_t, std::int32_t>, double> by_document;  // first two tokens name a demonstration
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (all.weights[i] == 0) continue;
    const std::size_t start = i - static_cast<std::size_t>(all.positions[i]);
    const std::int32_t name = all.tokens[start] * 61 + all.tokens[start + 1];
    by_document[{name, all.positions[i]}] = static_cast<double>(outputs[i]);
  }
  for (const auto& [place, loss] : by_document) seen.losses.push_back(loss);
  const StepResult result = trainer.step(batch, 0);
  seen.trained_mean = result.loss;
  seen.gradient_norm = result.gradient_norm;
  return seen;
}

TEST(PackedLoss, IsThatOfEachDemonstrationAlone) {
  for (const bool llama : {false, true}) {
    const Seen alone = look(model_of(llama), false), packed = look(model_of(llama), true);
    EXPECT_EQ(alone.sequences, kCount);
    EXPECT_LT(packed.sequences, kCount / 2);
    ASSERT_EQ(alone.losses.size(), packed.losses.size());
    for (std::size_t i = 0; i < alone.losses.size(); ++i) EXPECT_NEAR(alone.losses[i], packed.losses[i], 1e-5);
    EXPECT_NEAR(alone.mean, packed.mean, 1e-6);
    EXPECT_NEAR(alone.trained_mean, packed.trained_mean, 1e-6);
    EXPECT_NEAR(alone.gradient_norm / packed.gradient_norm, 1, 1e-5);
    const Seen unmasked = look(model_of(llama), true, Documents::forgotten);
    EXPECT_GT(std::abs(unmasked.mean - packed.mean), 1e-3) << "the mask is what makes it so";
  }
}

}  // namespace
}  // namespace coxswain
