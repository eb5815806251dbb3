// The loop around a phase, on one rank.
#include "driver_case.h"

#include <gmock/gmock.h>

namespace coxswain {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST_F(DriverTest, RunsToTheEnd) {
  CountingPhase phase(8);
  EXPECT_EQ(run(phase, &checkpoints), 0);
  EXPECT_EQ(phase.runs, 8);
  EXPECT_EQ(phase.finishes, 1);
  EXPECT_EQ(checkpoints.saved.size(), 3u);  // 3, 6 and the last
  EXPECT_EQ(text("metrics.jsonl"), metrics_of(8));
  EXPECT_EQ(text("FINISHED"), "counting finished with step 8\n");
  EXPECT_EQ(text("deck.ini"), options.deck);
  EXPECT_THAT(text("report.html"), HasSubstr("<b>Finished</b>"));
  EXPECT_THAT(text("log.txt"), HasSubstr("finished 8 steps"));
  EXPECT_THAT(text("timing.jsonl"), HasSubstr("\"gemm_share\":"));
  EXPECT_THAT(console.str(), HasSubstr("learning rate"));
  EXPECT_THAT(console.str(), HasSubstr("validation loss 1.25"));
  EXPECT_THAT(console.str(), Not(HasSubstr("\033")));
}

TEST_F(DriverTest, MoreStepsInTheDeckGoOn) {
  CountingPhase phase(8), longer(11);
  run(phase, &checkpoints);
  EXPECT_EQ(run(longer, &checkpoints), 0);
  EXPECT_EQ(longer.runs, 3);
  EXPECT_EQ(phase.begins, 1);
  EXPECT_EQ(longer.loads, 1);
  EXPECT_EQ(longer.begins, 0);  // the checkpoint has its weights
  EXPECT_EQ(text("metrics.jsonl"), metrics_of(11));
  EXPECT_EQ(text("FINISHED"), "counting finished with step 11\n");
}

TEST_F(DriverTest, EverySignalSavesAndAsksForARequeue) {
  for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGINT}) {
    directory = folder.file(StopSignal::name(signal));
    MemoryCheckpoints own;
    CountingPhase phase(8), rest(8);
    phase.signal_at = 4;
    phase.signal = signal;
    EXPECT_EQ(run(phase, &own), 75);
    EXPECT_EQ(phase.runs, 4);
    EXPECT_EQ(phase.finishes, 0);
    EXPECT_EQ(own.saved.count(4), 1u);
    EXPECT_EQ(text("FINISHED"), "");
    EXPECT_EQ(run(rest, &own), 0);
    EXPECT_EQ(rest.runs, 4);
    EXPECT_EQ(text("metrics.jsonl"), metrics_of(8));
    EXPECT_THAT(text("report.html"), HasSubstr("1 restart"));
  }
}

TEST_F(DriverTest, ASignalDuringASaveStopsWithoutAnotherStep) {
  CountingPhase phase(8);
  checkpoints.during_save = SIGTERM;
  EXPECT_EQ(run(phase, &checkpoints), 75);
  EXPECT_EQ(phase.runs, 3);
  EXPECT_EQ(checkpoints.saved.size(), 1u);  // not saved twice
}

TEST_F(DriverTest, ASignalInTheLastStepFinishes) {
  CountingPhase phase(8);
  phase.signal_at = 8;
  EXPECT_EQ(run(phase, &checkpoints), 0);
}

TEST_F(DriverTest, StopsBeforeTheWallLimit) {
  CountingPhase phase(8);
  double now = 20;
  options.now = [&] { return now += 10; };  // the clock is looked at some times a step
  options.run.wall_limit_minutes = 3;
  EXPECT_EQ(run(phase, &checkpoints), 75);
  EXPECT_GT(phase.runs, 0);
  EXPECT_LT(phase.runs, 8);
  EXPECT_EQ(checkpoints.saved.count(phase.runs), 1u);
}

// Else every job of a chain would end with 75 and none of them get on.
TEST_F(DriverTest, AWallLimitThatLeavesNoTimeForAStepIsRefused) {
  CountingPhase phase(8);
  options.now = [] { return 31.5; };
  options.run.wall_limit_minutes = 0.5;
  EXPECT_EQ(refusal(phase, &checkpoints), ExitCode::usage);
  EXPECT_EQ(phase.runs, 0);
  EXPECT_TRUE(checkpoints.saved.empty());
  EXPECT_THAT(console.str(), Not(HasSubstr("saving")));
}

TEST_F(DriverTest, WithoutCheckpointsASignalSavesNothingAndSaysSo) {
  CountingPhase phase(8);
  phase.signal_at = 2;
  options.checkpoint = {.every = 0, .at_end = false};
  EXPECT_EQ(run(phase, &checkpoints), 66);
  EXPECT_TRUE(checkpoints.saved.empty());
  EXPECT_THAT(console.str(), HasSubstr("nothing is saved"));
}

TEST_F(DriverTest, APhaseWithoutStateLeavesATrainingsDirectoryAlone) {
  create_folder(directory + "/checkpoints/step_00000003");
  AppendFile(directory + "/metrics.jsonl").append(metrics_of(2));
  CountingPhase phase(3);
  phase.state = false;
  try {
    run(phase, &checkpoints);
    FAIL() << "the training's metrics were overwritten";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_THAT(error.what(), HasSubstr(directory + " holds the checkpoints of a training"));
  }
  EXPECT_EQ(text("metrics.jsonl"), metrics_of(2));
}

TEST_F(DriverTest, AStoppedPhaseWithoutStateDoesNotBlameTheDeck) {
  CountingPhase phase(8);
  phase.state = false;
  phase.signal_at = 2;
  EXPECT_EQ(run(phase, &checkpoints), 66);
  EXPECT_THAT(console.str(), HasSubstr("phase counting is done in one go, from its start each time"));
}

TEST_F(DriverTest, APhaseWithoutStateRunsEachTime) {
  for (int start = 0; start < 2; ++start) {
    CountingPhase phase(3);
    phase.state = false;
    EXPECT_EQ(run(phase, &checkpoints), 0);
    EXPECT_EQ(phase.begins, 1);
    EXPECT_EQ(phase.runs, 3);
  }
  EXPECT_EQ(text("metrics.jsonl"), metrics_of(3));
}

TEST_F(DriverTest, AFullDiskForMetricsEndsWithItsPath) {
  create_folder(directory);
  std::filesystem::create_symlink("/dev/full", directory + "/metrics.jsonl");
  CountingPhase phase(8);
  try {
    run(phase, &checkpoints);
    FAIL() << "a full disk went unnoticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::input_output);
    EXPECT_TRUE(error.everywhere());
    EXPECT_THAT(error.what(), HasSubstr(directory + "/metrics.jsonl"));
  }
  EXPECT_EQ(phase.runs, 1);
}

TEST_F(DriverTest, ADirectoryThatCannotBeMade) {
  AppendFile(folder.file("file")).append("x");
  directory = folder.file("file/run");
  CountingPhase phase(8);
  try {
    run(phase, &checkpoints);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::input_output);
    EXPECT_THAT(error.what(), HasSubstr(directory));
  }
}

TEST_F(DriverTest, LogEveryThinsTheConsoleOnly) {
  CountingPhase phase(8);
  options.run.log_every = 5;
  run(phase, &checkpoints);
  EXPECT_THAT(console.str(), Not(HasSubstr(" 2/8")));
  EXPECT_THAT(console.str(), HasSubstr(" 5/8"));
  EXPECT_EQ(text("metrics.jsonl"), metrics_of(8));
}

// Steps that are different tasks say what they found; nothing is drawn against the step.
TEST_F(DriverTest, ManyTasksHaveNoCurves) {
  CountingPhase phase(4);
  phase.curves = false;
  phase.note = "policy: 36 responses";
  options.run.log_every = 5;
  run(phase, &checkpoints);
  EXPECT_THAT(console.str(), testing::AllOf(HasSubstr("3/4"), HasSubstr("  policy: 36 responses\n")));
  EXPECT_THAT(console.str(), Not(HasSubstr("loss")));
  EXPECT_THAT(text("report.html"),
              testing::AllOf(HasSubstr("Tokens/s"), Not(HasSubstr("<svg")), Not(HasSubstr("Last "))));
  EXPECT_EQ(text("metrics.jsonl"), metrics_of(4));
}

}  // namespace
}  // namespace coxswain
