// A parked model gives its weights' memory back to the backend, and works as before when it has returned.
#include <gtest/gtest.h>

#include "model/model.h"
#include "train/evaluator.h"
#include "train/master_weights.h"

namespace coxswain {
namespace {

constexpr int kLength = 12;

ModelConfig model_of(bool tied, Precision precision) {
  ModelConfig model;
  model.layers = 2;
  model.hidden = 16;
  model.heads = 4;
  model.vocabulary = 61;
  model.context = kLength;
  model.initial_deviation = 0.3;
  model.tied_embeddings = tied;
  model.precision = precision;
  model.check();
  return model;
}

GlobalBatch some_tokens() {
  GlobalBatch batch;
  batch.size = 2;
  batch.load = [](std::int64_t first, int count) {
    MicroBatch micro;
    micro.sequences = count;
    micro.length = kLength;
    for (std::int64_t sequence = first; sequence < first + count; ++sequence)
      for (int t = 0; t < kLength; ++t) {
        micro.tokens.push_back(static_cast<std::int32_t>((sequence * 29 + t * t * 7) % 61));
        micro.targets.push_back(static_cast<std::int32_t>((sequence * 31 + t * 5) % 61));
        micro.weights.push_back(1);
        micro.positions.push_back(t);
      }
    return micro;
  };
  return batch;
}

// A model with weights on a grid of one rank.
struct Subject {
  Subject(const ModelConfig& model, int shards, ModelUse use)
      : config(model), grid(planned(shards)), backend(make_cpu_backend()), context{*backend, grid, config} {
    parked = std::make_unique<Model>(context, use);
    MasterWeights(*parked).initialise(3);
  }
  static ProcessGrid planned(int shards) {
    GridConfig one;
    one.tensor_shards = shards;
    one.check(1);
    return ProcessGrid::planned(one, 0);
  }
  std::vector<float> outputs() { return Evaluator(*parked).outputs(some_tokens()); }
  std::size_t values_bytes() const {
    std::size_t bytes = 0;
    for (const auto& buffer : parked->buffers()) bytes += buffer->owns_values() ? buffer->values().bytes() : 0;
    return bytes;
  }
  // What takes the parked values' places in the meantime, and stays there: they have to return to others.
  std::vector<Tensor> others() const {
    std::vector<Tensor> all;
    for (const auto& buffer : parked->buffers()) {
      all.emplace_back(*backend, context.working_type(), Shape{buffer->elements()});
      backend->fill(all.back(), 1.0);
    }
    return all;
  }

  ModelConfig config;
  ProcessGrid grid;
  std::unique_ptr<Backend> backend;
  ModelContext context;
  std::unique_ptr<Model> parked;
};

TEST(Parking, GivesTheMemoryBackAndTheSameOutputsAfterwards) {
  for (const bool tied : {true, false})
    for (const Precision precision : {Precision::fp32, Precision::bf16})
      for (const int shards : {1, 2}) {
        Subject subject(model_of(tied, precision), shards, ModelUse::inference);
        const std::vector<float> before = subject.outputs();
        const std::size_t bytes = subject.values_bytes(), held = subject.backend->memory().in_use;
        for (int times = 0; times < 2; ++times) {
          subject.parked->park();
          EXPECT_LE(subject.backend->memory().in_use, held - bytes);
          const std::vector<Tensor> others = subject.others();
          subject.parked->unpark();
          EXPECT_EQ(subject.outputs(), before) << "tied " << tied << ", " << shards << " shards";
        }
        EXPECT_EQ(subject.backend->memory().in_use, held);
      }
}

TEST(Parking, TwiceIsAsGoodAsOnce) {
  Subject subject(model_of(true, Precision::fp32), 1, ModelUse::inference);
  const std::vector<float> before = subject.outputs();
  subject.parked->unpark();
  EXPECT_EQ(subject.outputs(), before) << "it was not parked";
  subject.parked->park();
  subject.parked->park();
  subject.parked->unpark();
  EXPECT_EQ(subject.outputs(), before);
}

// What was not changed comes back from where it was: nothing comes down.
TEST(Parking, UnchangedWeightsDoNotTravelToTheHostAgain) {
  Subject subject(model_of(true, Precision::bf16), 1, ModelUse::inference);
  const std::vector<float> before = subject.outputs();
  subject.parked->park();
  subject.parked->unpark();
  subject.backend->reset_costs();
  subject.parked->park(false);
  const std::vector<Tensor> others = subject.others();
  EXPECT_EQ(subject.backend->costs().count("download"), 0u);
  subject.parked->begin_unpark();
  subject.parked->unpark();
  EXPECT_EQ(subject.outputs(), before);
}

TEST(Parking, ChangedWeightsComeBackChanged) {
  Subject subject(model_of(true, Precision::fp32), 1, ModelUse::training);
  subject.parked->park();
  subject.parked->unpark();
  MasterWeights(*subject.parked).initialise(4);
  const std::vector<float> before = subject.outputs();
  subject.parked->park();
  subject.parked->unpark();
  EXPECT_EQ(subject.outputs(), before);
}

// Gradients stay where they are, and point at the same parameters.
TEST(Parking, LeavesGradientsAlone) {
  Subject subject(model_of(true, Precision::fp32), 2, ModelUse::training);
  for (const auto& buffer : subject.parked->buffers()) subject.backend->fill(buffer->gradients(), 7.0);
  const std::vector<float> before = subject.outputs();
  subject.parked->park();
  subject.parked->unpark();
  EXPECT_EQ(subject.outputs(), before);
  for (const auto& buffer : subject.parked->buffers()) {
    std::vector<float> gradients(static_cast<std::size_t>(buffer->elements()));
    subject.backend->download(buffer->gradients(), gradients.data());
    EXPECT_EQ(gradients, std::vector<float>(gradients.size(), 7.0f));
  }
}

}  // namespace
}  // namespace coxswain
