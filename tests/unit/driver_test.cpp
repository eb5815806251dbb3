// The loop around a phase, on one rank, with a phase that counts and checkpoints that are kept in memory.
#include "phases/driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <sstream>

#include "base/error.h"
#include "io/append_file.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::HasSubstr;
using testing::Not;

// Whole numbers and reals by name: all of the state that the fake phase and the driver have.
struct MemoryArchive final : Archive {
  explicit MemoryArchive(bool reads) : reads_(reads) {}
  bool reading() const override { return reads_; }
  void tensor(const Piece&) override {}
  void value(const std::string& name, std::int64_t& value) override {
    if (reads_) {
      value = integers.at(name);
    } else {
      integers[name] = value;
    }
  }
  void value(const std::string&, double&) override {}
  void value(const std::string&, std::string&) override {}
  void value(const std::string&, std::vector<double>&) override {}
  bool has(const std::string& name) const override { return integers.count(name) > 0; }
  std::map<std::string, std::int64_t> integers;
  bool reads_;
};

struct MemoryCheckpoints final : Checkpoints {
  std::optional<std::int64_t> restore(const Visit& visit) override {
    if (unusable) throw Error(ExitCode::no_checkpoint, "none is whole");
    if (saved.empty()) return std::nullopt;
    MemoryArchive archive(true);
    archive.integers = saved.rbegin()->second;
    visit(archive);
    return saved.rbegin()->first;
  }
  bool reaches(std::int64_t step) override {
    if (other_deck) throw Error(ExitCode::usage, "the deck does not fit");
    return !saved.empty() && saved.rbegin()->first >= step;
  }
  void save(const Place& place, const std::string&, const Visit& visit) override {
    if (during_save != 0) raise(during_save);
    if (saved.size() >= most) throw Error(ExitCode::input_output, "the disk is full");
    MemoryArchive archive(false);
    visit(archive);
    saved[place.step] = archive.integers;
    best = place.best;
    waits = 0;
  }
  void poll() override {}
  void wait() override { ++waits; }
  // As the store does, with keep = 1.
  void prune(std::int64_t before) override {
    if (saved.empty() || saved.rbegin()->first >= before) return;
    while (prunes && saved.size() > 1) saved.erase(saved.begin());
  }
  bool busy() const override { return false; }
  std::string newest() const override { return saved.empty() ? "" : "step " + std::to_string(saved.rbegin()->first); }
  std::string newest_before(std::int64_t step) override {
    const auto after = saved.lower_bound(step);
    return after == saved.begin() ? "" : "step " + std::to_string(std::prev(after)->first);
  }

  std::map<std::int64_t, std::map<std::string, std::int64_t>> saved;
  std::int64_t best = -1;
  int waits = 0;  // since the last save
  bool prunes = false;
  int during_save = 0;  // a signal
  bool unusable = false, other_deck = false;
  std::size_t most = 100;  // there is no room for more
};

std::vector<std::int64_t> steps_of(const MemoryCheckpoints& checkpoints) {
  std::vector<std::int64_t> steps;
  for (const auto& [step, state] : checkpoints.saved) steps.push_back(step);
  return steps;
}

struct CountingPhase final : Phase {
  explicit CountingPhase(std::int64_t steps) : total(steps) {}
  std::string name() const override { return "counting"; }
  std::int64_t step() const override { return done; }
  std::int64_t total_steps() const override { return total; }
  void load_frozen() override { ++loads; }
  void begin() override {
    EXPECT_EQ(loads, 1);
    ++begins;
  }
  StepReport run_step() override {
    if (done + 1 == diverges_at) throw Error(ExitCode::diverged, "the loss is not finite");
    skipped = done >= broken_at && done < good_again_after ? skipped + 1 : 0;
    if (skipped > most_skips) throw Error(ExitCode::diverged, "still not finite");
    ++done;
    ++runs;
    if (done == signal_at) raise(signal);
    if (done == good_at) best = done;
    StepReport report;
    report.metrics = {{"loss", 10.0 / static_cast<double>(done)}, {"learning_rate", 0.5}};
    if (done % 4 == 0) report.metrics.emplace_back("validation_loss", 1.25);
    report.note = note;
    report.tokens = 100;
    report.flops = 1;
    return report;
  }
  std::int64_t skipped_in_a_row() const override { return skipped; }
  std::int64_t best_step() const override { return best; }
  bool has_curves() const override { return curves; }
  bool has_state() const override { return state; }
  void visit(Archive& archive) override {
    archive.value("counting/step", done);
    archive.value("counting/skipped", skipped);
  }
  void finish() override { ++finishes; }

  std::int64_t total, done = 0, diverges_at = -1, signal_at = -1, good_at = -1, best = 0;
  // The update of step broken_at spoils the weights, and the steps up to this one are skipped.
  std::int64_t broken_at = 1000, good_again_after = 1000, skipped = 0, most_skips = 100;
  int loads = 0, begins = 0, runs = 0, finishes = 0, signal = SIGUSR1;
  bool state = true, curves = true;
  std::string note;
};

class DriverTest : public testing::Test {
 protected:
  // One start of the program.
  int run(CountingPhase& phase, Checkpoints* checkpoints) {
    options.run.directory = directory;
    Log log(Log::Options{.speaks = true, .speaker = "", .out = &console, .error = &console});
    const auto world = make_planned_communicator(0, 1);
    return Driver(options, *world, log, checkpoints).run(phase);
  }
  ExitCode refusal(CountingPhase& phase, Checkpoints* checkpoints) {
    try {
      run(phase, checkpoints);
      return ExitCode::finished;
    } catch (const Error& error) {
      return error.code();
    }
  }
  std::string text(const std::string& name) const { return read_text_file(directory + "/" + name); }
  std::string metrics_of(int steps) const {
    std::string lines;
    for (int step = 1; step <= steps; ++step) {
      NamedValues metrics{{"loss", 10.0 / step}, {"learning_rate", 0.5}};
      if (step % 4 == 0) metrics.emplace_back("validation_loss", 1.25);
      lines += metrics_line(step, 100 * step, metrics);
    }
    return lines;
  }

  TemporaryFolder folder;
  std::string directory = folder.file("runs/first");
  DriverOptions options{.run = {},
                        .checkpoint = {.every = 3},
                        .deck = "[run]\nsteps = 8\n",
                        .session = "1 rank",
                        .facts = {{"Model", "a counter"}},
                        .gemm_flops_rate = 1e3};
  MemoryCheckpoints checkpoints;
  std::ostringstream console;
};

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

TEST_F(DriverTest, KilledBeforeTheFirstCheckpointStartsAgainLoudly) {
  create_folder(directory);
  AppendFile(directory + "/metrics.jsonl").append(metrics_of(2));
  CountingPhase phase(8);
  EXPECT_EQ(run(phase, &checkpoints), 0);
  EXPECT_EQ(phase.runs, 8);
  EXPECT_THAT(console.str(), HasSubstr("cut back to step 0"));
}

TEST_F(DriverTest, WithoutCheckpointsASignalSavesNothingAndSaysSo) {
  CountingPhase phase(8);
  phase.signal_at = 2;
  options.checkpoint = {.every = 0, .at_end = false};
  EXPECT_EQ(run(phase, &checkpoints), 66);
  EXPECT_TRUE(checkpoints.saved.empty());
  EXPECT_THAT(console.str(), HasSubstr("nothing is saved"));
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
