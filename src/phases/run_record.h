// The files of a run directory that the first rank writes: metrics.jsonl, timing.jsonl, tensorboard/, report.html,
// deck.ini and the marker FINISHED.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "io/metrics_log.h"
#include "io/report.h"
#include "io/run_history.h"
#include "io/tensorboard.h"
#include "phases/phase.h"

namespace coxswain {

class RunRecord {
 public:
  // Opens the files and cuts them back to the step that the run goes on from; says so, as `level`, if something is
  // lost.
  RunRecord(ReportFacts facts, std::int64_t restored_step, const std::string& session, Log& log,
            LogLevel level = LogLevel::warning);

  void add(const StepReport& report, std::int64_t tokens, StepTiming timing);
  void sync();  // metrics to the disk, events to their file: before a checkpoint that counts on them
  void write_report(bool finished, const std::string& sections = {});  // the phase's own, as HTML
  const RunHistory& history() const { return history_; }

 private:
  void cut_back(StepLog& file, std::int64_t step, LogLevel level, Log& log);

  ReportFacts facts_;
  std::filesystem::path directory_;
  std::string session_;  // goes with the first step
  StepLog metrics_, timing_;
  TensorBoardWriter events_;
  RunHistory history_;
};

// The marker: written last of all, by which scripts and later starts of the same job see that nothing is left to do.
std::optional<std::int64_t> finished_step(const std::filesystem::path& directory);
void mark_finished(const std::filesystem::path& directory, const std::string& phase, std::int64_t step);
void unmark_finished(const std::filesystem::path& directory);

}  // namespace coxswain
