// The records of a phase without checkpoints: whole steps come back, what a kill has cut does not.
#include "io/unfinished_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "temporary_folder.h"
#include "thread_world.h"

namespace coxswain {

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class UnfinishedOutputTest : public testing::Test {
 protected:
  std::vector<std::string> take(const std::string& of, std::int64_t records_a_step, std::int64_t steps_done = 9) {
    const auto world = make_planned_communicator(0, 1);
    return UnfinishedOutput(*world, path, of).take(records_a_step, steps_done);
  }
  void write(const std::string& of, const std::vector<std::string>& steps) {
    const auto world = make_planned_communicator(0, 1);
    UnfinishedOutput output(*world, path, of);
    output.take(1, 9);
    for (const std::string& step : steps) output.append(step);
  }

  TemporaryFolder folder;
  std::string path = folder.file("runs/first/unfinished.jsonl");
};

TEST_F(UnfinishedOutputTest, GoesOnBehindWholeSteps) {
  EXPECT_THAT(take("a", 2), IsEmpty());
  write("a", {"1\n2\n", "3\n4\n", "5\n"});
  EXPECT_THAT(take("a", 2), ElementsAre("1", "2", "3", "4"));
  write("a", {"6\n7\n"});
  EXPECT_THAT(take("a", 2), ElementsAre("1", "2", "3", "4", "6", "7"));
}

TEST_F(UnfinishedOutputTest, AStepWithoutItsMetricsIsDoneAgain) {
  write("a", {"1\n2\n", "3\n4\n"});
  EXPECT_THAT(take("a", 2, 1), ElementsAre("1", "2"));
  EXPECT_THAT(take("a", 2, 2), ElementsAre("1", "2")) << "the file has forgotten the others";
}

TEST_F(UnfinishedOutputTest, OfSomethingElseBeginsAnew) {
  write("a", {"1\n", "2\n"});
  EXPECT_THAT(take("b", 1), IsEmpty());
  EXPECT_THAT(take("a", 1), IsEmpty()) << "the file was begun anew";
}

TEST_F(UnfinishedOutputTest, ALineThatAKillHasCutIsNotRead) {
  write("a", {"12\n", "34\n"});
  const std::string text = read_text_file(path);
  for (std::size_t bytes = 0; bytes <= text.size(); ++bytes) {
    replace_text_file(path, text.substr(0, bytes));
    const std::size_t whole = bytes == text.size() ? 2 : bytes >= text.size() - 3 ? 1 : 0;
    EXPECT_EQ(take("a", 1).size(), whole) << bytes << " bytes";
  }
}

TEST_F(UnfinishedOutputTest, EveryRankKnowsAndEveryRankFails) {
  write("a", {"1\n", "2\n"});
  ThreadWorld::run(3, [&](Communicator& world) {
    UnfinishedOutput output(world, path, "a");
    EXPECT_THAT(output.take(1, 9), ElementsAre("1", "2"));
    output.remove();
    EXPECT_EQ(read_text_file(path), "");
    UnfinishedOutput nowhere(world, "/proc/none/unfinished.jsonl", "a");
    EXPECT_THROW(nowhere.take(1, 9), Error);
  });
}

}  // namespace

}  // namespace coxswain
