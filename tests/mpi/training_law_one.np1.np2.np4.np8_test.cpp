// Law 1: a few training steps on every grid that fits the ranks give the losses, norms, weights and moments of one
// rank, bit for bit, for every model family, precision, recomputation and number of virtual stages.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>

#include "collected_state.h"
#include "late_communicator.h"
#include "model/model.h"
#include "mpi_test.h"
#include "tests/family.h"
#include "train/evaluator.h"
#include "train/trainer.h"

namespace coxswain {
namespace {

struct Small {
  ModelConfig model;
  BatchConfig batch;
  GridConfig grid;
};

struct Outcome {
  std::vector<double> numbers;  // losses and norms of the steps
  Collector::Boxes boxes;
};

MicroBatch tokens_of(const Small& small, std::int64_t step, std::int64_t first, int sequences) {
  MicroBatch batch;
  batch.sequences = sequences;
  batch.length = small.batch.length;
  for (int s = 0; s < sequences; ++s)
    for (int t = 0; t < batch.length; ++t) {
      const auto token = [&](int at) {
        const std::uint64_t x = static_cast<std::uint64_t>((first + s) * 1000003 + step * 7919 + at * 104729);
        return static_cast<std::int32_t>(x * x / 31 % static_cast<std::uint64_t>(small.model.vocabulary));
      };
      batch.tokens.push_back(token(t));
      batch.targets.push_back(token(t + 1));
      batch.weights.push_back(t % 7 == 3 ? 0.0f : 1.0f);
      batch.positions.push_back(t % 6);
      batch.document_start.push_back(t - t % 6);
    }
  return batch;
}

Outcome train(const Small& small, const ProcessGrid& grid) {
  const auto backend = make_cpu_backend();
  const ModelContext context{*backend, grid, small.model};
  Model model(context);
  OptimizerConfig optimizer;
  optimizer.clip_norm = 0.5;
  Trainer trainer(model, small.batch, optimizer);
  trainer.weights().initialise(5);
  Evaluator evaluator(model);
  Outcome outcome;
  for (std::int64_t step = 1; step <= 2; ++step) {
    GlobalBatch batch;
    batch.step = step;
    batch.seed = 5;
    batch.size = small.batch.global;
    batch.micro = small.batch.micro;
    batch.load = [&](std::int64_t first, int sequences) { return tokens_of(small, step, first, sequences); };
    GlobalBatch other = batch;  // a second part, of half as many sequences, weighs a third
    other.seed = 6;
    other.size = small.batch.global / 2;
    other.micro = small.batch.micro / 2;
    other.weight = 1.0 / 3;
    const std::array parts{batch, other};
    const StepResult result = step == 1 ? trainer.step(batch, 1e-2) : trainer.step(parts, 1e-2);
    outcome.numbers.push_back(result.loss);
    outcome.numbers.push_back(result.terms.back().front());
    outcome.numbers.push_back(result.gradient_norm);
    for (const float output : evaluator.outputs(other)) outcome.numbers.push_back(static_cast<double>(output));
    outcome.numbers.push_back(evaluator.terms(batch).front());
  }
  Collector collector;
  trainer.visit(collector);
  outcome.boxes = std::move(collector.boxes);
  return outcome;
}

Small small_model(const std::string& family, Precision precision) {
  Small small;
  ModelConfig& model = small.model;
  model.layers = 4;
  model.hidden = 16;
  model.heads = 4;
  model.vocabulary = 75;
  model.context = 12;
  model.vocabulary_multiple = 8;
  model.initial_deviation = 0.2;
  model.precision = precision;
  model.dropout = 0.1;
  model.embedding_dropout = 0.1;
  make_family(model, family, 4);
  small.batch.global = 16;
  small.batch.micro = 2;
  small.batch.length = 12;
  small.grid.tensor_shards = 2;
  small.grid.data_shards = 4;
  return small;
}

void expect_same(Communicator& ranks, const Small& small, const GridConfig& parallel, const Outcome& serial) {
  GridConfig config = parallel;
  config.check(ranks.size());
  const ProcessGrid grid(ranks, config);
  const Outcome mine = train(small, grid);
  const std::string where = grid.coordinates();
  EXPECT_EQ(mine.numbers, serial.numbers) << where;
  expect_same_boxes(mine.boxes, serial.boxes, where);
}

class TrainingLawOne : public testing::TestWithParam<std::string> {};

TEST_P(TrainingLawOne, EveryGridGivesTheBitsOfOneRank) {
  LateCommunicator late(world());
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    Small small = small_model(GetParam(), precision);
    for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
      small.batch.recompute = recompute;
      GridConfig one = small.grid;
      one.data = 1;
      one.check(1);
      const Outcome serial = train(small, ProcessGrid::planned(one, 0));
      for (int tensor = 1; tensor <= 2; ++tensor)
        for (int pipeline = 1; pipeline <= 4; pipeline *= 2)
          for (int chunks = 1; chunks * pipeline <= 4; ++chunks) {
            const int data = world().size() / (tensor * pipeline);
            if (data < 1 || data > 4 || tensor * pipeline * data != world().size()) continue;
            if (recompute != Recompute::none && chunks != 2) continue;  // one schedule will do for these
            GridConfig parallel = small.grid;
            parallel.tensor = tensor;
            parallel.pipeline = pipeline;
            parallel.data = data;
            parallel.virtual_stages = chunks;
            SCOPED_TRACE(fmt::format("{} precision {} recompute {} virtual stages {}", GetParam(),
                                     static_cast<int>(precision), static_cast<int>(recompute), chunks));
            if (recompute == Recompute::selective)
              expect_same(late, small, parallel, serial);
            else
              expect_same(world(), small, parallel, serial);
            if (HasFatalFailure()) return;
          }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TrainingLawOne, testing::Values("gpt1", "gpt2", "gpt3", "llama"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace coxswain
