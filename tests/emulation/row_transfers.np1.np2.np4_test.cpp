// Rows that come and go by NCCL beside the products of linear layers, on emulated GPUs whose streams run in any legal
// order: the bits of one GPU.
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/device.h"
#include "mpi_test.h"
#include "parallel/device_communicator.h"
#include "tests/emulation/schedule.h"
#include "tests/linear_pair.h"

namespace coxswain {
namespace {

class RowTransfers : public testing::TestWithParam<std::uint64_t> {};

TEST_P(RowTransfers, GiveTheBitsOfOneGpu) {
  const int size = world().size();
  setenv("COXSWAIN_EMULATED_DEVICES", std::to_string(size).c_str(), 1);
  cuda_emulation::set_seed(10 * GetParam() + static_cast<std::uint64_t>(world().rank()));
  const auto backend = make_cuda_backend(world().rank(), false);
  const auto group = make_device_communicator(world(), *backend, {});
  ModelConfig model;
  model.precision = GetParam() % 2 == 0 ? Precision::bf16 : Precision::fp32;
  for (const int shards : {4, 8})
    for (const bool cut : {true, false}) {
      SCOPED_TRACE(testing::Message() << shards << " shards, cut " << cut);
      GridConfig config;
      config.tensor_shards = shards;
      config.overlap_from = cut ? 1 : 0;
      config.check(1);
      const ProcessGrid alone = ProcessGrid::planned(config, 0);
      const auto one = LinearPair(*backend, alone, model).run();
      config.tensor = size;
      config.check(size);
      const ProcessGrid grid(*group, config);
      EXPECT_EQ(LinearPair(*backend, grid, model).run(), part_of(one, world().rank(), size));
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RowTransfers, testing::Values(1, 2));

}  // namespace
}  // namespace coxswain
