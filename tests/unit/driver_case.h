// The driver with a phase that counts and checkpoints that are kept in memory, for its tests.
#pragma once

#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <sstream>

#include "base/error.h"
#include "io/append_file.h"
#include "phases/driver.h"
#include "temporary_folder.h"

namespace coxswain {

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
    under_way = {{place.step, archive.integers}};
    if (!slow) commit();
    best = place.best;
    waits = 0;
  }
  void commit() {
    for (const auto& [step, state] : under_way) saved[step] = state;
    under_way.clear();
  }
  void poll() override {}
  void wait() override {
    commit();
    ++waits;
  }
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

  std::map<std::int64_t, std::map<std::string, std::int64_t>> saved, under_way;
  std::int64_t best = -1;
  int waits = 0;                      // since the last save
  bool prunes = false, slow = false;  // slow: a save takes until somebody waits for it
  int during_save = 0;                // a signal
  bool unusable = false, other_deck = false;
  std::size_t most = 100;  // there is no room for more
};

inline std::vector<std::int64_t> steps_of(const MemoryCheckpoints& checkpoints) {
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
    archive.value("counting/concluded", concluded);
  }
  bool sound() override { return !unsound; }
  bool conclude() override {
    if (concluded != 0) return false;
    if (last_act_fails != ExitCode::finished) throw Error(last_act_fails, "equal scores");
    concluded = 1;
    return true;
  }
  void finish() override { ++finishes; }

  std::int64_t total, done = 0, diverges_at = -1, signal_at = -1, good_at = -1, best = 0;
  // The update of step broken_at spoils the weights, and the steps up to this one are skipped.
  std::int64_t broken_at = 1000, good_again_after = 1000, skipped = 0, most_skips = 100;
  int loads = 0, begins = 0, runs = 0, finishes = 0, signal = SIGUSR1;
  bool state = true, curves = true, unsound = false;
  std::int64_t concluded = 0;
  ExitCode last_act_fails = ExitCode::finished;
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

}  // namespace coxswain
