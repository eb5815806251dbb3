// Rows that come and go between tensor ranks beside the products of linear layers: on every number of ranks, with
// products cut into blocks and whole, the bits of one rank.
#include <gtest/gtest.h>

#include "late_communicator.h"
#include "mpi_test.h"
#include "tests/linear_pair.h"

namespace coxswain {
namespace {

ModelConfig model_of(Precision precision) {
  ModelConfig model;
  model.precision = precision;
  return model;
}

GridConfig grid_of(int ranks, int shards, bool cut) {
  GridConfig grid;
  grid.tensor = ranks;
  grid.data = 1;
  grid.tensor_shards = shards;
  grid.overlap_from = cut ? 1 : 0;
  grid.check(ranks);
  return grid;
}

LinearPair::Numbers numbers_of(const ProcessGrid& grid, Precision precision) {
  const auto backend = make_cpu_backend();
  const ModelConfig model = model_of(precision);
  return LinearPair(*backend, grid, model).run();
}

TEST(RowTransfers, GiveTheBitsOfOneRank) {
  LateCommunicator late(world());
  const int size = world().size();
  for (const Precision precision : {Precision::fp32, Precision::bf16})
    for (const int shards : {size, 4, 8})
      for (const bool cut : {false, true}) {
        SCOPED_TRACE(testing::Message() << shards << " shards, cut " << cut << ", precision "
                                        << static_cast<int>(precision));
        const auto one = numbers_of(ProcessGrid::planned(grid_of(1, shards, cut), 0), precision);
        const auto mine = numbers_of(ProcessGrid(late, grid_of(size, shards, cut)), precision);
        EXPECT_EQ(mine, part_of(one, world().rank(), size));
      }
}

// Which products are cut follows from the deck alone.
TEST(RowTransfers, ProductsAreCutBySizesThatNoGridChanges) {
  const auto backend = make_cpu_backend();
  const ModelConfig model;
  for (const int ranks : {1, 2, 4}) {
    GridConfig config = grid_of(ranks, 4, true);
    config.overlap_from = 1000;
    const ProcessGrid grid = ProcessGrid::planned(config, 0);
    const ModelContext context{*backend, grid, model};
    EXPECT_TRUE(context.cuts_rows(400, 10));
    EXPECT_FALSE(context.cuts_rows(396, 10));
    EXPECT_FALSE(context.cuts_rows(402, 10)) << "shards do not divide the rows";
  }
  const ProcessGrid grid = ProcessGrid::planned(grid_of(4, 4, false), 0);
  EXPECT_FALSE((ModelContext{*backend, grid, model}.cuts_rows(1 << 20, 1 << 20)));
  const ProcessGrid one = ProcessGrid::planned(grid_of(1, 1, true), 0);
  EXPECT_FALSE((ModelContext{*backend, one, model}.cuts_rows(1 << 20, 1 << 20))) << "nothing to travel";
}

}  // namespace
}  // namespace coxswain
