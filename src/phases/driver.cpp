#include "phases/driver.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <exception>

#include "base/error.h"
#include "io/append_file.h"
#include "io/checkpoint_folder.h"

namespace coxswain {

namespace {

// What ends the loop, the worst on top: a signal's number, the limit, or the code of a failure.
constexpr std::int64_t kWallLimit = 1000;
constexpr std::int64_t kFailure = 2000;

std::string time_text() { return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(std::time(nullptr))); }

// A run that went on for long must have left a checkpoint: the second save waits for the first one to be committed.
// Where there is none at all, somebody has moved it, and starting again would throw the run away.
void refuse_lost_checkpoints(const std::string& directory, const DriverOptions& options) {
  const CheckpointConfig& config = options.checkpoint;
  const auto marked = config.at_end ? finished_step(directory) : std::nullopt;
  const std::int64_t done = std::max(read_run_history(directory).step(), marked.value_or(0));
  if (!marked && (config.every == 0 || done - options.max_skips - config.every <= config.every)) return;
  throw Error(
      ExitCode::no_checkpoint,
      fmt::format("{} tells of {} steps, but holds no checkpoint to go on from; put it back, or start afresh in "
                  "another run.directory (or remove this one)",
                  directory, done));
}

// What a phase without checkpoints notes of its steps would take the place of what the run there has noted.
void refuse_run_of_others(const Phase& phase, const std::string& directory) {
  if (phase.has_state() || CheckpointFolder(directory + "/checkpoints").steps().empty()) return;
  throw Error(ExitCode::usage,
              fmt::format("[run] directory = {} holds the checkpoints of a training, whose metrics and report phase {} "
                          "would overwrite; choose another folder",
                          directory, phase.name()));
}

}  // namespace

Driver::Driver(DriverOptions options, Communicator& world, Log& log, Checkpoints* checkpoints)
    : options_(std::move(options)),
      world_(&world),
      log_(&log),
      checkpoints_(options_.checkpoint.every > 0 || options_.checkpoint.at_end ? checkpoints : nullptr),
      clock_(options_.run.wall_limit_minutes, options_.now) {}

int Driver::run(Phase& phase) {
  if (!phase.has_state()) checkpoints_ = nullptr;
  on_first_rank("open the run directory", [&] {
    refuse_run_of_others(phase, options_.run.directory);
    create_folder(options_.run.directory);
    log_->open(options_.run.directory + "/log.txt");
    log_->detail("start of {}: {}", phase.name(), options_.session);
    for (const auto& [name, value] : options_.facts) log_->detail("  {}: {}", name, value);
  });
  if (already_finished(phase)) return static_cast<int>(ExitCode::finished);
  resume(phase);
  const std::int64_t first = phase.step();
  while (phase.step() < phase.total_steps()) {
    const std::int64_t reason = agreed_reason();
    if (reason == kWallLimit && phase.step() == first) refuse_short_limit();
    if (reason != 0) return stop(phase, reason);
    step(phase);
  }
  if (const std::int64_t reason = agreed_reason(); reason >= kFailure) return stop(phase, reason);
  return finish(phase);
}

// A job of a chain or an array that comes too late ends at once, before it reads a large model. Where the last
// checkpoint is lost, the marker says too much: resume() finds what there is.
bool Driver::already_finished(const Phase& phase) {
  if (checkpoints_ == nullptr) return false;
  const std::int64_t own = first_rank() ? finished_step(options_.run.directory).value_or(-1) : -1;
  const std::int64_t marked = world_->all_max(own, "agree whether the run is finished");
  if (marked < phase.total_steps() || marked < 0) return false;
  if (!checkpoints_->reaches(marked) && options_.checkpoint.at_end) return false;
  log_->info("{}: finished already, with all {} steps, so nothing was done; raise run.steps to go on",
             options_.run.directory, marked);
  return true;
}

void Driver::resume(Phase& phase) {
  phase.load_frozen();
  const auto restored = checkpoints_ != nullptr ? checkpoints_->restore(visitor(phase)) : std::nullopt;
  if (restored && phase.step() != *restored) {
    throw Error(ExitCode::internal,
                fmt::format("the checkpoint of step {} brought {} to step {}", *restored, phase.name(), phase.step()));
  }
  saved_step_ = restored;
  if (!restored) {
    on_first_rank("look for lost checkpoints", [&] {
      if (checkpoints_ != nullptr) refuse_lost_checkpoints(options_.run.directory, options_);
    });
    phase.begin();
    tokens_ = phase.kept_tokens();
  }
  on_first_rank("prepare the run directory", [&] {
    if (restored) log_->info("{}: goes on from step {} of {}", phase.name(), *restored, phase.total_steps());
    unmark_finished(options_.run.directory);
    replace_text_file(options_.run.directory + "/deck.ini", options_.deck);
    ReportFacts facts{.phase = phase.name(),
                      .directory = options_.run.directory,
                      .total_steps = phase.total_steps(),
                      .finished = false,
                      .has_curves = phase.has_curves(),
                      .facts = options_.facts,
                      .deck = options_.deck};
    const std::string session = options_.session.empty() ? time_text() : time_text() + ", " + options_.session;
    // What is done anew loses nothing that anybody counts on.
    const LogLevel level = phase.has_state() ? LogLevel::warning : LogLevel::detail;
    record_ = std::make_unique<RunRecord>(std::move(facts), phase.step(), session, *log_, level);
    console_ = std::make_unique<Console>(*log_, phase.total_steps(), options_.run.log_every, phase.has_curves());
  });
}

void Driver::step(Phase& phase) {
  const double begin = clock_.now();
  StepReport report;
  try {
    report = phase.run_step();
  } catch (const Error& error) {
    if (error.code() != ExitCode::diverged) throw;
    // Of numbers that are not finite: the weights that lead to nothing else are those of the last step that moved them.
    diverge(phase, phase.step() + 1, error.what(), phase.step() + 1 - phase.skipped_in_a_row());
  }
  const double seconds = clock_.now() - begin;
  clock_.step_took(seconds);
  tokens_ += report.tokens;
  if (first_rank()) keep_failure([&] { note(phase, report, seconds); });
  if (checkpoints_ == nullptr) return;
  checkpoints_->poll();
  if (saving_since_ && !checkpoints_->busy()) {
    clock_.save_took(clock_.now() - *saving_since_);
    saving_since_.reset();
  }
  prune(phase, phase.step());
  if (due(phase) && phase.step() < phase.total_steps()) save(phase);  // the last one: when all of it is done
}

bool Driver::due(const Phase& phase) const {
  const std::int64_t every = options_.checkpoint.every;
  const bool regular = every > 0 && phase.step() % every == 0 && phase.skipped_in_a_row() == 0;
  return regular || phase.step() == phase.best_step();
}

// Weights that moved at a step are good if they can be moved again. Until then the older checkpoints stay: the newest
// may hold weights that no step gets on from.
void Driver::prune(const Phase& phase, std::int64_t before) {
  if (phase.skipped_in_a_row() == 0) checkpoints_->prune(before);
}

// bad: the step whose weights led here.
void Driver::diverge(const Phase& phase, std::int64_t step, const std::string& what, std::int64_t bad) {
  finish_saving();  // what is being written is of an earlier step
  const std::string message = fmt::format("{}: step {}: {}\n{}", phase.name(), step, what, way_back(bad));
  if (first_rank()) log_->detail("error: {}", message);  // the console gets it when the program ends
  throw Error(ExitCode::diverged, message).on_every_rank();
}

std::string Driver::way_back(std::int64_t bad) {
  const std::string newest = checkpoints_ != nullptr ? checkpoints_->newest() : "";
  if (newest.empty()) return "there is no checkpoint to go back to";
  const std::string good = checkpoints_->newest_before(bad);
  if (good == newest) return "the last good checkpoint is " + good;
  const std::string led = fmt::format("{} holds the weights that led here", newest);
  return good.empty() ? fmt::format("there is no good checkpoint to go back to: {}", led)
                      : fmt::format(
                            "the last good checkpoint is {}; {}: to go back, remove it and any others after the "
                            "good one",
                            good, led);
}

void Driver::note(Phase& phase, const StepReport& report, double seconds) {
  StepTiming timing;
  timing.step = phase.step();
  timing.seconds = seconds;
  timing.tokens_per_second = seconds > 0 ? static_cast<double>(report.tokens) / seconds : 0;
  if (options_.gemm_flops_rate > 0 && report.flops > 0 && seconds > 0) {
    timing.gemm_share = report.flops / seconds / options_.gemm_flops_rate;
  }
  record_->add(report, tokens_, timing);
  console_->step(report, timing, clock_.now());
}

std::int64_t Driver::agreed_reason() {
  std::int64_t reason = signals_.pending();
  if (first_rank() && clock_.must_stop()) reason = kWallLimit;
  if (failure_code_ != 0) reason = kFailure + failure_code_;
  return world_->all_max(reason, "agree whether to stop");
}

void Driver::save(Phase& phase) {
  if (first_rank()) keep_failure([&] { record_->sync(); });
  checkpoints_->wait();
  prune(phase, phase.step());  // before the next one takes its place on the disk
  saving_since_ = clock_.now();
  checkpoints_->save({phase.step(), phase.best_step(), tokens_}, options_.deck, visitor(phase));
  saved_step_ = phase.step();
  if (first_rank()) keep_failure([&] { record_->write_report(false); });
}

void Driver::finish_saving() {
  if (checkpoints_ == nullptr) return;
  checkpoints_->wait();
  saving_since_.reset();
}

// Code 75 would have the same job start again and again, and none of them would ever make a step.
void Driver::refuse_short_limit() const {
  const double seconds = world_->all_max(static_cast<std::int64_t>(clock_.now() * 1000), "time of the start") * 1e-3;
  throw Error(ExitCode::usage,
              fmt::format("[run] wall_limit_minutes = {} leaves no time for a step and a checkpoint: the start alone "
                          "took {:.1f} s; give more, or 0 for no limit",
                          options_.run.wall_limit_minutes, seconds))
      .on_every_rank();
}

int Driver::stop(Phase& phase, std::int64_t reason) {
  if (reason >= kFailure) {
    finish_saving();
    const std::string message = world_->broadcast(failure_, 0, "tell of a failure");
    throw Error(static_cast<ExitCode>(reason - kFailure), message).on_every_rank();
  }
  const std::string why = reason >= kWallLimit
                              ? fmt::format("the limit of {} minutes is near", options_.run.wall_limit_minutes)
                              : StopSignal::name(static_cast<int>(reason));
  if (checkpoints_ == nullptr) {
    on_first_rank("close the run directory", [&] {
      record_->sync();
      record_->write_report(false);
    });
    if (phase.keeps_output()) {
      log_->info("{}: stopped after step {} of {}, whose output is kept; run the same job again to go on (code {})",
                 why, phase.step(), phase.total_steps(), static_cast<int>(ExitCode::requeue));
      return static_cast<int>(ExitCode::requeue);
    }
    log_->info("{}: stopped after step {} of {}; {}, so nothing is saved", why, phase.step(), phase.total_steps(),
               phase.has_state() ? "the deck wants no checkpoints"
                                 : fmt::format("phase {} is done in one go, from its start each time", phase.name()));
    return static_cast<int>(ExitCode::no_checkpoint);
  }
  log_->info("{}: saving step {} of {}, then stopping", why, phase.step(), phase.total_steps());
  if (saved_step_ != phase.step()) save(phase);
  finish_saving();
  on_first_rank("close the run directory", [&] {
    record_->sync();
    record_->write_report(false);
  });
  if (signals_.count() > 1) log_->info("{} signals came; the checkpoint was finished all the same", signals_.count());
  log_->info("saved {}; run the same job again to go on (code {})", checkpoints_->newest(),
             static_cast<int>(ExitCode::requeue));
  return static_cast<int>(ExitCode::requeue);
}

// No step will tell of the last weights: the phase looks at them itself before they are saved. If its last act fails by
// the user's files, the training is kept and the next start tries again.
void Driver::conclude(Phase& phase) {
  if (phase.skipped_in_a_row() == 0 && !phase.sound())
    diverge(phase, phase.step(),
            "the weights of the last update give numbers that are not finite; restart from an earlier checkpoint with "
            "a lower [optimizer] learning_rate",
            phase.step());
  try {
    if (phase.conclude() && saved_step_ == phase.step()) save(phase);  // in place of what an earlier start saved
  } catch (const Error& error) {
    if (error.code() == ExitCode::diverged) diverge(phase, phase.step(), error.what(), phase.step());
    if (error.code() != ExitCode::data || checkpoints_ == nullptr) throw;
    if (saved_step_ != phase.step()) save(phase);
    finish_saving();
    throw Error(
        ExitCode::data,
        fmt::format("{}: after step {}, the last: {}\nits weights are saved in {}: the next start goes on from there",
                    phase.name(), phase.step(), error.what(), checkpoints_->newest()));
  }
}

int Driver::finish(Phase& phase) {
  conclude(phase);
  if (checkpoints_ != nullptr) {
    if ((options_.checkpoint.at_end || due(phase)) && saved_step_ != phase.step()) save(phase);
    finish_saving();
    prune(phase, phase.step() + 1);  // no step will come that does
    finish_saving();
    if (const std::int64_t skipped = phase.skipped_in_a_row(); first_rank() && skipped > 0)
      log_->warning("{}: the last {} steps were not finite and have moved nothing; older checkpoints stay",
                    phase.name(), skipped);
  }
  phase.finish();
  on_first_rank("finish the run directory", [&] {
    if (!failure_.empty()) throw Error(static_cast<ExitCode>(failure_code_), failure_);
    record_->sync();
    record_->write_report(true, phase.report());
    mark_finished(options_.run.directory, phase.name(), phase.step());
    if (const std::string summary = phase.summary(); !summary.empty()) log_->info("{}", summary);
    const RunHistory& history = record_->history();
    log_->info("{}: finished {} steps in {}; see {}/report.html", phase.name(), phase.step(),
               duration_text(history.seconds()), options_.run.directory);
  });
  return static_cast<int>(ExitCode::finished);
}

Checkpoints::Visit Driver::visitor(Phase& phase) {
  return [this, &phase](Archive& archive) {
    archive.value("driver/tokens", tokens_);
    phase.visit(archive);
  };
}

void Driver::keep_failure(const std::function<void()>& work) {
  if (failure_code_ != 0) return;
  try {
    work();
  } catch (const Error& error) {
    failure_code_ = static_cast<int>(error.code());
    failure_ = error.what();
  } catch (const std::exception& error) {
    failure_code_ = static_cast<int>(ExitCode::input_output);
    failure_ = error.what();
  }
}

void Driver::on_first_rank(const char* name, const std::function<void()>& work) {
  if (first_rank()) keep_failure(work);
  const std::int64_t code = world_->all_max(failure_code_, name);
  if (code == 0) return;
  throw Error(static_cast<ExitCode>(code), world_->broadcast(failure_, 0, name)).on_every_rank();
}

}  // namespace coxswain
