// The arithmetic of grids, and the communicator that is only planned.
#include "parallel/process_grid.h"

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace coxswain {
namespace {

std::string refusal(GridConfig config, int ranks) {
  try {
    config.check(ranks);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_TRUE(error.everywhere());
    return error.what();
  }
  return "";
}

TEST(GridConfig, FillsDefaultsIn) {
  GridConfig config{.tensor = 2, .pipeline = 3};
  config.check(24);
  EXPECT_EQ(config.data, 4);
  EXPECT_EQ(config.tensor_shards, 2);
  EXPECT_EQ(config.data_shards, 4);
  EXPECT_EQ(config.ranks(), 24);
  GridConfig planned{.tensor = 2, .pipeline = 3};
  planned.check(0);
  EXPECT_EQ(planned.ranks(), 6);
  GridConfig shards{.tensor_shards = 2, .data_shards = 4};  // one rank computes all shards
  EXPECT_EQ(refusal(shards, 1), "");
}

TEST(GridConfig, NamesWhatIsWrong) {
  EXPECT_EQ(refusal({.tensor = 2, .pipeline = 2}, 6),
            "[grid] tensor = 2 x pipeline = 2 does not divide the 6 ranks of this job; start a multiple of 4 ranks, or "
            "change tensor or pipeline");
  EXPECT_EQ(
      refusal({.tensor = 2, .pipeline = 2, .data = 2}, 4),
      "[grid] tensor = 2 x pipeline = 2 x data = 2 needs 8 ranks, but the job has 4; start 8 ranks, or leave data "
      "out");
  EXPECT_EQ(
      refusal({.tensor = 4, .tensor_shards = 6}, 4),
      "[grid] tensor_shards = 6 cannot be spread over tensor = 4 ranks; use a multiple of 4, or set tensor to one "
      "of 1, 2, 3, 6");
  EXPECT_NE(refusal({.data = 4, .data_shards = 2}, 4).find("data_shards = 2"), std::string::npos);
  EXPECT_EQ(refusal({.tensor = 0}, 1), "[grid] tensor = 0 must be at least 1");
  EXPECT_EQ(refusal({.virtual_stages = 0}, 1), "[grid] virtual_stages = 0 must be at least 1");
  EXPECT_EQ(refusal({.tensor_shards = -2}, 1), "[grid] tensor_shards = -2 must be at least 0");
}

TEST(ProcessGrid, EveryRankOfAPlanHasItsPlace) {
  const GridConfig config{.tensor = 2, .pipeline = 4, .data = 3, .data_shards = 6};
  for (int rank = 0; rank < 24; ++rank) {
    const ProcessGrid grid = ProcessGrid::planned(config, rank);
    EXPECT_EQ(rank, grid.tensor_rank() + 2 * (grid.data_rank() + 3 * grid.pipeline_rank()));
    EXPECT_EQ(grid.world().size(), 24);
    EXPECT_EQ(grid.data().size(), 3);
    EXPECT_TRUE(grid.pipeline().planned());
    EXPECT_EQ(grid.local_data_shards(), 2);
    EXPECT_EQ(grid.first_data_shard(), 2 * grid.data_rank());
  }
  EXPECT_EQ(ProcessGrid::planned(config, 23).coordinates(), "tensor 1 of 2, pipeline 3 of 4, data 2 of 3");
}

TEST(PlannedCommunicator, MovesNothing) {
  const auto group = make_planned_communicator(2, 5);
  EXPECT_EQ(group->rank(), 2);
  EXPECT_EQ(group->size(), 5);
  float own = 1.0f, other = 2.0f;
  const TensorView source(&own, DType::f32, {1}), target(&other, DType::f32, {1});
  group->send(source, 3, "send").wait();
  group->receive(target, 1, "receive").wait();
  group->broadcast(target, 0, "broadcast");
  group->all_gather(source, target, "gather");
  EXPECT_EQ(other, 2.0f);
  EXPECT_EQ(group->all_max(7, "max"), 7);
  EXPECT_EQ(group->all_gather("text", "texts").size(), 5u);
  EXPECT_THROW(group->split(0, 0, "parts"), Error);
  EXPECT_THROW(make_planned_communicator(5, 5), Error);
}

}  // namespace
}  // namespace coxswain
