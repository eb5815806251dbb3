// What the driver saves, what it goes on from, and what it keeps to go back to.
#include "driver_case.h"

#include <gmock/gmock.h>

namespace coxswain {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(DriverTest, SavesTheBestAtOnceAndNamesItInEverySave) {
  CountingPhase phase(8);
  phase.good_at = 4;
  EXPECT_EQ(run(phase, &checkpoints), 0);
  EXPECT_EQ(checkpoints.saved.size(), 4u);  // 3, 4, 6 and the last
  EXPECT_EQ(checkpoints.saved.count(4), 1u);
  EXPECT_EQ(checkpoints.best, 4);
}

TEST_F(DriverTest, AFinishedRunEndsAtOnce) {
  CountingPhase phase(8), again(8);
  run(phase, &checkpoints);
  checkpoints.unusable = true;  // not read
  EXPECT_EQ(run(again, &checkpoints), 0);
  EXPECT_EQ(again.runs, 0);
  EXPECT_EQ(again.finishes, 0);
  EXPECT_EQ(again.loads, 0);
  EXPECT_THAT(console.str(), HasSubstr("finished already, with all 8 steps"));
  checkpoints.other_deck = true;
  EXPECT_EQ(refusal(again, &checkpoints), ExitCode::usage);
  checkpoints.other_deck = false;
  checkpoints.saved.erase(8);  // only one before the end is left: its steps are made again
  checkpoints.unusable = false;
  EXPECT_EQ(run(again, &checkpoints), 0);
  EXPECT_EQ(again.runs, 2);
  checkpoints.saved.clear();
  EXPECT_EQ(refusal(again, &checkpoints), ExitCode::no_checkpoint);
}

TEST_F(DriverTest, AFinishedRunWithoutASaveAtItsEnd) {
  options.checkpoint = {.every = 3, .at_end = false};
  CountingPhase phase(8), again(8);
  run(phase, &checkpoints);
  EXPECT_EQ(run(again, &checkpoints), 0);
  EXPECT_EQ(again.runs, 0);
  checkpoints.other_deck = true;
  EXPECT_EQ(refusal(again, &checkpoints), ExitCode::usage);
}

TEST_F(DriverTest, AfterAKillMetricsAreCutBackToTheCheckpoint) {
  CountingPhase phase(5), again(8);
  run(phase, &checkpoints);
  checkpoints.saved.erase(5);  // as if killed after step 5, with the checkpoint of step 3
  std::filesystem::remove(directory + "/FINISHED");
  AppendFile(directory + "/metrics.jsonl").append("{\"step\":6,\"tok");
  EXPECT_EQ(run(again, &checkpoints), 0);
  EXPECT_EQ(again.runs, 5);
  EXPECT_EQ(text("metrics.jsonl"), metrics_of(8));
  EXPECT_THAT(console.str(), HasSubstr("metrics.jsonl: cut back to step 3"));
}

TEST_F(DriverTest, KilledBetweenTheLastSaveAndTheMarker) {
  CountingPhase phase(8), again(8);
  run(phase, &checkpoints);
  std::filesystem::remove(directory + "/FINISHED");
  EXPECT_EQ(run(again, &checkpoints), 0);
  EXPECT_EQ(again.runs, 0);
  EXPECT_EQ(again.finishes, 1);
  EXPECT_NE(text("FINISHED"), "");
}

TEST_F(DriverTest, DivergedNamesTheLastGoodCheckpoint) {
  CountingPhase phase(8);
  phase.diverges_at = 5;
  try {
    run(phase, &checkpoints);
    FAIL() << "went on with numbers that diverged";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::diverged);
    EXPECT_TRUE(error.everywhere());
    EXPECT_THAT(error.what(), HasSubstr("step 5: the loss is not finite"));
    EXPECT_THAT(error.what(), HasSubstr("the last good checkpoint is step 3"));
  }
  EXPECT_EQ(checkpoints.saved.size(), 1u);
  EXPECT_GE(checkpoints.waits, 1);
}

TEST_F(DriverTest, SkippedStepsAreNotSaved) {
  options.checkpoint.every = 1;
  CountingPhase phase(8), shorter(6);
  phase.broken_at = shorter.broken_at = 4;
  phase.good_again_after = 6;
  EXPECT_EQ(run(phase, &checkpoints), 0);
  EXPECT_THAT(steps_of(checkpoints), testing::ElementsAre(1, 2, 3, 4, 7, 8));
  EXPECT_THAT(console.str(), Not(HasSubstr("older checkpoints stay")));
  MemoryCheckpoints own;  // the end comes in a row of skips
  own.prunes = true;
  directory = folder.file("shorter");
  EXPECT_EQ(run(shorter, &own), 0);
  EXPECT_THAT(steps_of(own), testing::ElementsAre(3, 4, 6));
  EXPECT_THAT(console.str(), HasSubstr("the last 2 steps were not finite"));
}

// Step 4 spoils the weights, which shows only afterwards, when they are saved: the ones before are still there.
TEST_F(DriverTest, BrokenWeightsNeverReplaceGoodOnes) {
  options.checkpoint.every = 1;
  checkpoints.prunes = true;
  for (const std::int64_t signal_at : {-1, 5}) {  // and after a stop in the row of skips, which saves
    CountingPhase phase(12), again(12);
    phase.broken_at = again.broken_at = 4;
    phase.most_skips = again.most_skips = 3;
    phase.signal_at = signal_at;
    if (signal_at > 0) {
      EXPECT_EQ(run(phase, &checkpoints), 75);
    }
    try {
      run(signal_at > 0 ? again : phase, &checkpoints);
      FAIL() << "went on with broken weights";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("the last good checkpoint is step 3; step"));
    }
    EXPECT_EQ(again.runs, signal_at > 0 ? 2 : 0) << "skips before the restart count";
    checkpoints.saved.erase(checkpoints.saved.upper_bound(3), checkpoints.saved.end());
  }
  CountingPhase mended(12);
  EXPECT_EQ(run(mended, &checkpoints), 0);
  EXPECT_EQ(mended.runs, 9);
  EXPECT_THAT(steps_of(checkpoints), testing::ElementsAre(12));
}

// No step would tell of them: the phase looks itself, and nothing of them is saved.
TEST_F(DriverTest, WeightsThatTheLastStepSpoilsAreNotSaved) {
  checkpoints.prunes = true;
  for (const std::int64_t every : {3, 4, 0}) {  // 4: the last step has a save of its own
    options.checkpoint.every = every;
    directory = folder.file(std::to_string(every));
    checkpoints.saved.clear();
    CountingPhase phase(8);
    phase.unsound = true;
    try {
      run(phase, &checkpoints);
      FAIL() << "finished with broken weights";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::diverged);
      EXPECT_THAT(error.what(), HasSubstr("step 8: the weights of the last update"));
      EXPECT_THAT(error.what(), HasSubstr(every == 3   ? "last good checkpoint is step 6"
                                          : every == 4 ? "last good checkpoint is step 4"
                                                       : "there is no checkpoint to go back to"));
    }
    EXPECT_EQ(phase.concluded, 0);
    EXPECT_EQ(text("FINISHED"), "");
    EXPECT_EQ(checkpoints.saved.count(8), 0u);
  }
  CountingPhase skipping(6);  // the last steps have told already
  skipping.unsound = true;
  skipping.broken_at = 4;
  directory = folder.file("skipping");
  checkpoints.saved.clear();
  EXPECT_EQ(run(skipping, &checkpoints), 0);
}

TEST_F(DriverTest, TheLastSaveHoldsThePhasesLastAct) {
  options.checkpoint = {.every = 4, .at_end = false};
  CountingPhase phase(8);
  EXPECT_EQ(run(phase, &checkpoints), 0);
  EXPECT_THAT(steps_of(checkpoints), testing::ElementsAre(4, 8));
  EXPECT_EQ(checkpoints.saved[4]["counting/concluded"], 0);
  EXPECT_EQ(checkpoints.saved[8]["counting/concluded"], 1);
}

TEST_F(DriverTest, ALastActThatFailsCostsNoTraining) {
  for (const bool at_end : {true, false}) {
    options.checkpoint = {.every = 3, .at_end = at_end};
    directory = folder.file(at_end ? "saves" : "saves_not");
    checkpoints.saved.clear();
    CountingPhase phase(8), again(8), mended(8);
    phase.last_act_fails = again.last_act_fails = ExitCode::data;
    for (CountingPhase* start : {&phase, &again}) {
      try {
        run(*start, &checkpoints);
        FAIL() << "finished";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::data);
        EXPECT_TRUE(error.everywhere());
        EXPECT_THAT(error.what(), HasSubstr("after step 8, the last: equal scores\nits weights are saved in step 8"));
      }
      EXPECT_EQ(text("FINISHED"), "");
    }
    EXPECT_EQ(again.runs, 0);
    EXPECT_EQ(run(mended, &checkpoints), 0);
    EXPECT_EQ(mended.runs, 0);
    EXPECT_EQ(mended.finishes, 1);
    EXPECT_EQ(checkpoints.saved[8]["counting/concluded"], 1);
  }
  CountingPhase diverged(8);
  diverged.last_act_fails = ExitCode::diverged;
  directory = folder.file("diverged");
  checkpoints.saved.clear();
  try {
    run(diverged, &checkpoints);
    FAIL() << "finished";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::diverged);
    EXPECT_THAT(error.what(), HasSubstr("equal scores\nthe last good checkpoint is step 6"));
  }
  EXPECT_THAT(steps_of(checkpoints), testing::ElementsAre(3, 6));
}

TEST_F(DriverTest, KilledInSkipsBeforeTheFirstCheckpointStartsAgain) {
  options.checkpoint.every = 1;
  create_folder(directory);
  AppendFile(directory + "/metrics.jsonl").append(metrics_of(5));
  for (const std::int64_t max_skips : {2, 3}) {
    options.max_skips = max_skips;
    CountingPhase phase(8);
    if (max_skips == 2) {
      EXPECT_THROW(run(phase, &checkpoints), Error);
    } else {
      EXPECT_EQ(run(phase, &checkpoints), 0);
    }
  }
}

// A lower [checkpoint] keep frees its space before the next one needs it.
TEST_F(DriverTest, OldOnesGoBeforeTheNextIsWritten) {
  CountingPhase phase(5), again(7);
  run(phase, &checkpoints);
  EXPECT_THAT(steps_of(checkpoints), testing::ElementsAre(3, 5));
  checkpoints.prunes = true;
  checkpoints.most = 2;
  EXPECT_EQ(run(again, &checkpoints), 0);
  EXPECT_THAT(steps_of(checkpoints), testing::ElementsAre(7));
}

// A save that is still being written is known to be good only when the next one has waited for it.
TEST_F(DriverTest, OldOnesGoBetweenTwoSlowSaves) {
  options.checkpoint.every = 1;
  checkpoints.prunes = checkpoints.slow = true;
  checkpoints.most = 2;
  CountingPhase phase(5);
  EXPECT_EQ(run(phase, &checkpoints), 0);
  EXPECT_THAT(steps_of(checkpoints), testing::ElementsAre(5));
}

// And they go as soon as a step shows that the newest is good.
TEST_F(DriverTest, OldOnesGoWithTheNextGoodStep) {
  checkpoints.prunes = true;
  CountingPhase phase(9);
  phase.diverges_at = 8;
  EXPECT_EQ(refusal(phase, &checkpoints), ExitCode::diverged);
  EXPECT_THAT(steps_of(checkpoints), testing::ElementsAre(6));
}

TEST_F(DriverTest, LostCheckpointsAreNoFreshStart) {
  CountingPhase phase(8), again(8);
  run(phase, &checkpoints);
  checkpoints.saved.clear();
  std::filesystem::remove(directory + "/FINISHED");
  try {
    run(again, &checkpoints);
    FAIL() << "started afresh";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::no_checkpoint);
  }
  EXPECT_EQ(again.begins, 0);
  EXPECT_EQ(text("metrics.jsonl"), metrics_of(8));
}

TEST_F(DriverTest, WhatIsDoneAnewEachTimeWarnsOfNoLoss) {
  CountingPhase phase(8), again(8);
  phase.state = again.state = false;
  EXPECT_EQ(run(phase, &checkpoints), 0);
  EXPECT_EQ(run(again, &checkpoints), 0);
  EXPECT_EQ(text("metrics.jsonl"), metrics_of(8));
  EXPECT_THAT(console.str(), Not(HasSubstr("cut back")));
}

TEST_F(DriverTest, KilledBeforeTheFirstCheckpointStartsAgainLoudly) {
  create_folder(directory);
  AppendFile(directory + "/metrics.jsonl").append(metrics_of(2));
  CountingPhase phase(8);
  EXPECT_EQ(run(phase, &checkpoints), 0);
  EXPECT_EQ(phase.runs, 8);
  EXPECT_THAT(console.str(), HasSubstr("cut back to step 0"));
}

TEST_F(DriverTest, OnlyAtTheEndSavesAtAStopToo) {
  options.checkpoint = {.every = 0, .at_end = true};
  CountingPhase stopped(8), rest(8);
  stopped.signal_at = 2;
  EXPECT_EQ(run(stopped, &checkpoints), 75);
  EXPECT_EQ(run(rest, &checkpoints), 0);
  EXPECT_EQ(rest.runs, 6);
  EXPECT_EQ(checkpoints.saved.size(), 2u);
}

TEST_F(DriverTest, NotAtTheEnd) {
  options.checkpoint = {.every = 3, .at_end = false};
  CountingPhase phase(8);
  EXPECT_EQ(run(phase, &checkpoints), 0);
  EXPECT_EQ(checkpoints.saved.rbegin()->first, 6);
}

}  // namespace
}  // namespace coxswain
