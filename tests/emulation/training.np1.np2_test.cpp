// Training steps on emulated GPUs, over NCCL: the host asks for the whole of a step and waits once, for its numbers.
// Steps that are not finite are left out without its help, on every grid, see skipped_steps.h.
#include <cstdlib>

#include "kernels/device.h"
#include "mpi_test.h"
#include "parallel/device_communicator.h"
#include "skipped_steps.h"
#include "tests/emulation/schedule.h"
#include "tests/emulation/streams.h"

namespace coxswain {
namespace {

Life live_on_device(const GridConfig& shape, const ModelConfig& model, const std::vector<Step>& steps,
                    std::uint64_t seed) {
  setenv("COXSWAIN_EMULATED_DEVICES", std::to_string(world().size()).c_str(), 1);
  cuda_emulation::set_seed(10 * seed + static_cast<std::uint64_t>(world().rank()));
  const auto backend = make_cuda_backend(world().rank());
  const auto group = shape.ranks() > 1 ? make_device_communicator(world(), *backend, {}) : nullptr;
  const ProcessGrid grid = group ? ProcessGrid(*group, shape) : ProcessGrid::planned(shape, 0);
  bool first = true;  // it fills the pools, chooses products and connects ranks
  return live(*backend, grid, model, steps, [&](const std::function<void()>& step) {
    const cuda_emulation::HostRecord before = cuda_emulation::host_record();
    step();
    const cuda_emulation::HostRecord after = cuda_emulation::host_record();
    if (!std::exchange(first, false)) {
      EXPECT_EQ(after.waits - before.waits, 1u) << grid.coordinates();
      EXPECT_GT(after.asked_before_last_wait, before.asked + 50) << grid.coordinates();
    }
    EXPECT_EQ(after.asked - after.asked_before_last_wait, 0u) << "it waits before it has asked for all";
  });
}

TEST(EmulatedTraining, AStepWaitsOnceForItsNumbersAndSkipsWithoutTheHost) {
  std::uint64_t seed = 0;
  for (const Precision precision : {Precision::bf16, Precision::fp32}) {
    const Life serial = live_on_device(serial_grid_of_steps(), model_of_steps(precision), fine_steps(), ++seed);
    for (const GridConfig& shape : grids_of_steps(world().size())) {
      expect_same_life(live_on_device(shape, model_of_steps(precision), mixed_steps(), ++seed), serial,
                       std::to_string(shape.tensor) + "x" + std::to_string(shape.pipeline));
      if (HasFatalFailure()) return;
    }
  }
}

// What comes from another stage comes beside this one's work, in whatever order that is done.
TEST(EmulatedTraining, StagesGiveTheSameBitsInEveryOrder) {
  if (world().size() == 1) return;
  ModelConfig model = model_of_steps(Precision::bf16);
  model.layers = 4;
  const Life serial = live_on_device(serial_grid_of_steps(), model, fine_steps(), 1);
  for (const int virtual_stages : {1, 2})
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      GridConfig grid = serial_grid_of_steps();
      grid.pipeline = 2, grid.virtual_stages = virtual_stages;
      expect_same_life(live_on_device(grid, model, fine_steps(), seed), serial,
                       std::to_string(virtual_stages) + " virtual stages, seed " + std::to_string(seed));
      if (HasFatalFailure()) return;
    }
}

}  // namespace
}  // namespace coxswain
