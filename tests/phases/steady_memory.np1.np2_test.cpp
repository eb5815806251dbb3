// After its first steps a run takes no memory from the system: whatever a step needs comes from the backend's pool.
#include <gtest/gtest.h>

#include "mpi_test.h"
#include "phases/pretrain.h"

namespace coxswain {
namespace {

PretrainConfig small(Precision precision, Recompute recompute) {
  PretrainConfig config;
  config.run.steps = 100;
  config.model.layers = 2;
  config.model.hidden = 32;
  config.model.heads = 4;
  config.model.vocabulary = 100;
  config.model.context = 32;
  config.model.dropout = 0.1;
  config.model.precision = precision;
  config.model.check();
  config.batch.global = 8;
  config.batch.micro = 2;
  config.batch.length = 32;
  config.batch.recompute = recompute;
  config.data.source = "synthetic";
  return config;
}

// The grid's numbers of tensor, pipeline and data ranks.
void expect_steady(int tensor, int pipeline, int data) {
  if (tensor * pipeline * data != world().size()) return;
  for (const Precision precision : {Precision::fp32, Precision::bf16})
    for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
      GridConfig shape;
      shape.tensor = tensor;
      shape.pipeline = pipeline;
      shape.data = data;
      shape.check(world().size());
      const ProcessGrid grid(world(), shape);
      const auto backend = make_cpu_backend();
      Log log(Log::Options{});
      Pretrain phase(small(precision, recompute), grid, *backend, log);
      phase.begin();
      for (int step = 0; step < 2; ++step) phase.run_step();
      const std::size_t reserved = backend->memory().reserved;
      const std::size_t in_use = backend->memory().in_use;
      ASSERT_GT(reserved, 0u);
      for (int step = 0; step < 4; ++step) phase.run_step();
      EXPECT_EQ(backend->memory().reserved, reserved) << "a step took memory from the system";
      EXPECT_EQ(backend->memory().in_use, in_use) << "a step kept memory";
    }
}

TEST(SteadyMemory, Serial) { expect_steady(1, 1, 1); }
TEST(SteadyMemory, Tensor) { expect_steady(2, 1, 1); }
TEST(SteadyMemory, Pipeline) { expect_steady(1, 2, 1); }
TEST(SteadyMemory, Data) { expect_steady(1, 1, 2); }

}  // namespace
}  // namespace coxswain
