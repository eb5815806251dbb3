// A step waits for the device where its numbers are needed on the host, once for all micro-batches and parameters.
#include <gtest/gtest.h>

#include "token_batch.h"
#include "train/evaluator.h"
#include "train/trainer.h"

namespace coxswain {
namespace {

constexpr int kLength = 8;

GlobalBatch tokens(int size) { return token_batch(size, kLength, kLength); }

struct Subject {
  explicit Subject(int layers) : grid(planned()) {
    config.layers = layers;
    config.hidden = 16;
    config.heads = 4;
    config.vocabulary = 61;
    config.context = kLength;
    config.check();
    model = std::make_unique<Model>(context);
    trainer = std::make_unique<Trainer>(*model, BatchConfig(), OptimizerConfig());
    trainer->weights().initialise(3);
  }
  static ProcessGrid planned() {
    GridConfig one;
    one.tensor_shards = 2;
    one.data_shards = 2;
    one.check(1);
    return ProcessGrid::planned(one, 0);
  }
  template <class Work>
  std::int64_t downloads(const Work& work) {
    backend->reset_costs();
    work();
    return backend->costs().at("download").calls;
  }

  ModelConfig config;
  ProcessGrid grid;
  std::unique_ptr<Backend> backend = make_cpu_backend();
  ModelContext context{*backend, grid, config};
  std::unique_ptr<Model> model;
  std::unique_ptr<Trainer> trainer;
};

TEST(HostWaits, AStepHasOneWhateverItsSize) {
  for (const int size : {2, 8})
    for (const int layers : {1, 3}) {
      Subject subject(layers);
      EXPECT_EQ(subject.downloads([&] { EXPECT_TRUE(subject.trainer->step(tokens(size), 1e-3).updated); }), 1)
          << "norm and losses of " << size << " sequences, " << layers << " layers";
    }
}

TEST(HostWaits, AnEvaluationHasOne) {
  Subject subject(2);
  Evaluator evaluator(*subject.model);
  EXPECT_EQ(subject.downloads([&] { evaluator.terms(tokens(8)); }), 1);
  EXPECT_EQ(subject.downloads([&] { evaluator.outputs(tokens(8)); }), 1);
}

}  // namespace
}  // namespace coxswain
