// Steps that are not finite are left out on every rank of every grid, see skipped_steps.h: on hosts.
#include "skipped_steps.h"

#include "mpi_test.h"

namespace coxswain {
namespace {

TEST(SkippedSteps, LeaveNoTraceOnAnyGrid) {
  const AroundStep nothing = [](const std::function<void()>& step) { step(); };
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const ModelConfig model = model_of_steps(precision);
    const auto backend = make_cpu_backend();
    const Life serial = live(*backend, ProcessGrid::planned(serial_grid_of_steps(), 0), model, fine_steps(), nothing);
    EXPECT_EQ(serial.updates, std::ssize(fine_steps()));
    for (const GridConfig& shape : grids_of_steps(world().size())) {
      const ProcessGrid grid(world(), shape);
      expect_same_life(live(*backend, grid, model, mixed_steps(), nothing), serial, grid.coordinates());
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace coxswain
