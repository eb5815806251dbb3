// What --check says of memory: totals of each kind of plan, with a GPU's memory apart from the host's.
#include "phases/plan_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coxswain {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::size_t kGiB = std::size_t{1} << 30;

TEST(PlanText, KeepsTheSavesCopyAndTheProgramOutOfTheGpu) {
  Plan plan;
  plan.tokens_per_step = 1;
  plan.ranks.resize(2);
  plan.ranks[0].bytes = {4 * kGiB, 2 * kGiB, kGiB, 0, 0, 0};
  plan.ranks[0].checkpoint_bytes = kGiB;
  plan.ranks[1].bytes = {4 * kGiB, 3 * kGiB, kGiB, 0, 0, 0};
  plan.ranks[1].checkpoint_bytes = 2 * kGiB;
  GridConfig grid;
  grid.pipeline = 2;
  grid.data = 1;
  const std::string text = plan_text(plan, {}, {}, grid, kGiB, true);
  EXPECT_THAT(text, HasSubstr("Largest    11.00 GiB a rank, 22.00 GiB in all\n"
                              "On GPUs    8.00 GiB of the GPU's memory, 3.00 GiB of the host's\n"));
  EXPECT_THAT(plan_text(plan, {}, {}, grid, kGiB, false),
              HasSubstr("Largest    9.00 GiB a rank, 18.00 GiB in all\n"
                        "On GPUs    8.00 GiB of the GPU's memory, 1.00 GiB of the host's\n"));
}

TEST(PlanText, GpusKeepNoCompressedWeights) {
  InferenceConfig config;
  config.grid.data = 1;
  RankPlan rank;
  rank.bytes = {4 * kGiB, 0, 0, kGiB, 0, kGiB, 3 * kGiB};
  const std::string text = inference_plan_text({rank}, config, kGiB);
  EXPECT_THAT(text, HasSubstr(" compressed"));
  EXPECT_THAT(text, HasSubstr("Largest    10.00 GiB a rank, 10.00 GiB in all\n"
                              "On GPUs    6.00 GiB of the GPU's memory, 1.00 GiB of the host's\n"));
}

TEST(PlanText, PpoCountsTheSameThings) {
  PpoPlan plan;
  PpoPlan::Rank rank;
  rank.models = {{"policy", 1, {kGiB, kGiB, 4 * kGiB, 0, 0, 0}, false},
                 {"reference", 1, {kGiB, 0, 0, 0, 0, 0}, true},
                 {"value model", 1, {kGiB, kGiB, 3 * kGiB, 0, 0, 0}, false}};
  rank.parts = {{"responses", 11 * kGiB, kGiB}, {"update", 11 * kGiB, 5 * kGiB}};
  plan.ranks = {rank};
  GridConfig grid;
  grid.data = 2;
  const std::string text = ppo_plan_text(plan, {}, grid, grid, kGiB, true);
  EXPECT_THAT(text, HasSubstr("Largest    25.00 GiB a rank, 50.00 GiB in all\n"
                              "On GPUs    16.00 GiB of the GPU's memory, 9.00 GiB of the host's\n"));
  EXPECT_THAT(text, HasSubstr("saving"));
  EXPECT_THAT(ppo_plan_text(plan, {}, grid, grid, kGiB, false), HasSubstr("Largest    18.00 GiB a rank"));
}

}  // namespace
}  // namespace coxswain
