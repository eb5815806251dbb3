// Pipeline schedules against hand-written tables, the bubble of Narayanan et al. 2021, and all small pipelines.
#include "train/pipeline_schedule.h"

#include <gtest/gtest.h>

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace coxswain {
namespace {

// "F0 F1 B0 ..." with the chunk as a letter where there are several: "F0a F1a F0b".
std::string text_of(const std::vector<PipelineTask>& list, bool chunks) {
  std::string text;
  for (const PipelineTask& task : list) {
    text += text.empty() ? "" : " ";
    text += (task.kind == PipelineTask::Kind::forward ? "F" : "B") + std::to_string(task.micro_batch);
    if (chunks) text += static_cast<char>('a' + task.chunk);
  }
  return text;
}

TEST(PipelineSchedule, OneForwardOneBackwardOfFourStagesAndEightMicroBatches) {
  EXPECT_EQ(text_of(pipeline_schedule(4, 0, 1, 8), false), "F0 F1 F2 F3 B0 F4 B1 F5 B2 F6 B3 F7 B4 B5 B6 B7");
  EXPECT_EQ(text_of(pipeline_schedule(4, 1, 1, 8), false), "F0 F1 F2 B0 F3 B1 F4 B2 F5 B3 F6 B4 F7 B5 B6 B7");
  EXPECT_EQ(text_of(pipeline_schedule(4, 2, 1, 8), false), "F0 F1 B0 F2 B1 F3 B2 F4 B3 F5 B4 F6 B5 F7 B6 B7");
  EXPECT_EQ(text_of(pipeline_schedule(4, 3, 1, 8), false), "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4 F5 B5 F6 B6 F7 B7");
}

TEST(PipelineSchedule, InterleavedOnTwoStagesAsPublished) {
  // Warm-up of 2 (P - 1 - r) + (V - 1) P forwards, then one forward, one backward.
  EXPECT_EQ(text_of(pipeline_schedule(2, 0, 2, 4), true),
            "F0a F1a F0b F1b F2a B0b F3a B1b F2b B0a F3b B1a B2b B3b B2a B3a");
  EXPECT_EQ(text_of(pipeline_schedule(2, 1, 2, 4), true),
            "F0a F1a F0b B0b F1b B1b F2a B0a F3a B1a F2b B2b F3b B3b B2a B3a");
}

TEST(PipelineSchedule, OneRankGoesBackAtOnce) {
  EXPECT_EQ(text_of(pipeline_schedule(1, 0, 1, 3), false), "F0 B0 F1 B1 F2 B2");
  EXPECT_EQ(text_of(pipeline_schedule(1, 0, 2, 2), true), "F0a F0b B0b F1a B0a F1b B1b B1a");
}

TEST(PipelineSchedule, BubbleIsThePublishedOne) {
  EXPECT_DOUBLE_EQ(simulate_schedule(4, 1, 8).bubble, 3.0 / 11.0);
  EXPECT_DOUBLE_EQ(simulate_schedule(1, 3, 5).bubble, 0.0);
  for (const double backward_cost : {1.0, 2.0, 3.0})
    for (int stages = 1; stages <= 8; ++stages)
      for (int m = 1; m <= 20; ++m)
        EXPECT_NEAR(simulate_schedule(stages, 1, m, backward_cost).bubble, (stages - 1.0) / (m + stages - 1.0), 1e-12)
            << stages << " stages, " << m << " micro-batches";
}

TEST(PipelineSchedule, InterleavingDividesTheBubbleWhateverTheNumberOfMicroBatches) {
  for (int stages = 2; stages <= 8; ++stages)
    for (int chunks = 2; chunks <= 4; ++chunks)
      for (int m = stages; m <= 40; ++m)
        EXPECT_NEAR(simulate_schedule(stages, chunks, m).bubble, (stages - 1.0) / (chunks * m + stages - 1.0), 1e-12)
            << stages << " stages, " << chunks << " chunks, " << m << " micro-batches";
}

// The simulator throws where a list waits for itself, lacks a task, or leaves the order of micro-batches.
TEST(PipelineSchedule, EverySmallPipelineRunsInOrderAndHoldsFewMicroBatches) {
  for (int stages = 1; stages <= 8; ++stages)
    for (int chunks = 1; chunks <= 4; ++chunks)
      for (int m = 1; m <= 20; ++m) {
        SCOPED_TRACE(testing::Message() << stages << " stages, " << chunks << " chunks, " << m << " micro-batches");
        const ScheduleReport report = simulate_schedule(stages, chunks, m);
        ASSERT_EQ(report.peak_in_flight.size(), static_cast<std::size_t>(stages));
        for (int rank = 0; rank < stages; ++rank) {
          const int behind = stages - 1 - rank;
          const int group = m < stages ? m : (m + m / stages - 1) / (m / stages);
          const int most = chunks == 1 ? behind + 1 : (chunks - 1) * group + 2 * behind + 1;
          EXPECT_LE(report.peak_in_flight[static_cast<std::size_t>(rank)], most) << "rank " << rank;
        }
      }
}

// What lets messages between two ranks match in order: every rank has the same order of forwards, and of backwards.
TEST(PipelineSchedule, AllRanksHaveOneOrderOfForwardsAndOneOfBackwards) {
  for (const auto& [chunks, m] : {std::pair{1, 7}, {2, 4}, {3, 10}, {4, 3}}) {
    std::string orders[2];
    for (int rank = 0; rank < 4; ++rank) {
      std::vector<PipelineTask> of_kind[2];
      for (const PipelineTask& task : pipeline_schedule(4, rank, chunks, m))
        of_kind[task.kind == PipelineTask::Kind::backward].push_back(task);
      for (int kind = 0; kind < 2; ++kind) {
        if (rank == 0) orders[kind] = text_of(of_kind[kind], true);
        EXPECT_EQ(text_of(of_kind[kind], true), orders[kind]) << "rank " << rank;
      }
    }
  }
}

std::vector<PipelineTask> list_of(const std::string& text) {
  std::vector<PipelineTask> list;
  std::istringstream words(text);
  for (std::string word; words >> word;)
    list.push_back({word[0] == 'F' ? PipelineTask::Kind::forward : PipelineTask::Kind::backward, word[1] - '0', 0});
  return list;
}

TEST(PipelineSchedule, SimulatorRefusesBadLists) {
  const auto simulate = [](const std::string& first, const std::string& second) {
    return simulate_schedule({list_of(first), list_of(second)}, 1, 2);
  };
  EXPECT_NO_THROW(simulate("F0 F1 B0 B1", "F0 B0 F1 B1"));
  EXPECT_THROW(simulate("F0 B0 F1 B1", "F0 F1 B0 B1"), std::logic_error);  // each waits for the other
  EXPECT_THROW(simulate("F0 F1 B0", "F0 B0 F1 B1"), std::logic_error);     // missing
  EXPECT_THROW(simulate("F0 F0 B0 B1", "F0 B0 F1 B1"), std::logic_error);  // doubled
  EXPECT_THROW(simulate("F1 F0 B0 B1", "F0 B0 F1 B1"), std::logic_error);  // out of order
  EXPECT_THROW(simulate("F0 F1 B0 B1 B2", "F0 B0 F1 B1"), std::logic_error);
}

TEST(PipelineSchedule, RefusesWhatIsNoPipeline) {
  EXPECT_THROW(pipeline_schedule(0, 0, 1, 1), std::invalid_argument);
  EXPECT_THROW(pipeline_schedule(2, 2, 1, 1), std::invalid_argument);
  EXPECT_THROW(pipeline_schedule(2, 0, 1, 0), std::invalid_argument);
}

}  // namespace
}  // namespace coxswain
