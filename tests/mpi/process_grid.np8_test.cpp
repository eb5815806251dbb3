// Coordinates and groups of a 2 x 2 x 2 grid: tensor ranks are neighbours, then data, then pipeline.
#include "parallel/process_grid.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/error.h"
#include "mpi_test.h"

namespace coxswain {
namespace {

std::vector<std::string> members(Communicator& group) {
  return group.all_gather(std::to_string(world().rank()), "members");
}

TEST(ProcessGrid, CutsTheWorldAsThePlanSays) {
  ASSERT_EQ(world().size(), 8);
  const ProcessGrid grid(world(), {.tensor = 2, .pipeline = 2, .data = 0, .tensor_shards = 4, .data_shards = 6});
  const ProcessGrid plan = ProcessGrid::planned(grid.config(), world().rank());
  const int r = world().rank();
  EXPECT_EQ(grid.config().data, 2);
  EXPECT_EQ(r, grid.tensor_rank() + 2 * (grid.data_rank() + 2 * grid.pipeline_rank()));
  const auto text = [](int rank) { return std::to_string(rank); };
  EXPECT_EQ(members(grid.tensor()), (std::vector<std::string>{text(r & ~1), text(r | 1)}));
  EXPECT_EQ(members(grid.data()), (std::vector<std::string>{text(r & ~2), text(r | 2)}));
  EXPECT_EQ(members(grid.pipeline()), (std::vector<std::string>{text(r & ~4), text(r | 4)}));
  EXPECT_EQ(grid.first_tensor_shard(), 2 * (r & 1));
  EXPECT_EQ(grid.first_data_shard(), 3 * ((r >> 1) & 1));
  EXPECT_EQ(plan.coordinates(), grid.coordinates());
  EXPECT_EQ(world().coordinates(), grid.coordinates());
  EXPECT_EQ(plan.first_data_shard(), grid.first_data_shard());
}

TEST(ProcessGrid, RefusesWhatTheRanksCannotHold) {
  EXPECT_THROW(ProcessGrid(world(), {.tensor = 3}), Error);
  EXPECT_THROW(ProcessGrid(world(), {.tensor = 2, .pipeline = 2, .data = 4}), Error);
}

}  // namespace
}  // namespace coxswain
