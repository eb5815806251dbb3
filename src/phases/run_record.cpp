#include "phases/run_record.h"

#include <fmt/format.h>

#include <utility>

#include "io/append_file.h"

namespace coxswain {

namespace {

constexpr const char* kMarker = "FINISHED";

}  // namespace

RunRecord::RunRecord(ReportFacts facts, std::int64_t restored_step, const std::string& session, Log& log,
                     LogLevel level)
    : facts_(std::move(facts)),
      directory_(facts_.directory),
      session_(session),
      metrics_(directory_ / "metrics.jsonl"),
      timing_(directory_ / "timing.jsonl"),
      events_(directory_ / "tensorboard", restored_step + 1) {
  // Said once, of the file that users compare; timing.jsonl lost the same steps.
  cut_back(metrics_, restored_step, level, log);
  cut_back(timing_, restored_step, LogLevel::detail, log);
  history_ = read_run_history(directory_);
}

void RunRecord::cut_back(StepLog& file, std::int64_t step, LogLevel level, Log& log) {
  const StepLog::Cut cut = file.cut_back(step);
  const std::string path = file.path().string();
  if (cut.damaged) log.line(level, fmt::format("{}: a damaged line was removed, and all after it", path));
  if (cut.removed_lines > 0) {
    log.line(level, fmt::format("{}: cut back to step {}, from where the run goes on: {} line{} removed", path, step,
                                cut.removed_lines, cut.removed_lines == 1 ? "" : "s"));
  }
  if (cut.last_step < step) {
    log.line(level, fmt::format("{}: the lines of steps {} to {} are lost; the steps themselves are in the checkpoint",
                                path, cut.last_step + 1, step));
  }
}

void RunRecord::add(const StepReport& report, std::int64_t tokens, StepTiming timing) {
  timing.session = std::exchange(session_, "");
  metrics_.append(metrics_line(timing.step, tokens, report.metrics));
  timing_.append(timing_line(timing));
  history_.add_metrics(timing.step, tokens, report.metrics);
  history_.add_timing(timing);
  NamedValues scalars = report.metrics;
  scalars.emplace_back("timing/seconds", timing.seconds);
  if (report.tokens > 0) scalars.emplace_back("timing/tokens_per_second", timing.tokens_per_second);
  if (timing.gemm_share >= 0) scalars.emplace_back("timing/gemm_share", timing.gemm_share);
  events_.add(timing.step, scalars);
}

void RunRecord::sync() {
  metrics_.sync();
  timing_.sync();
  events_.flush();
}

void RunRecord::write_report(bool finished, const std::string& sections) {
  facts_.finished = finished;
  facts_.sections = sections;
  coxswain::write_report(directory_ / "report.html", facts_, history_);
}

std::optional<std::int64_t> finished_step(const std::filesystem::path& directory) {
  const std::string text = read_text_file(directory / kMarker);
  const std::size_t place = text.rfind("step ");
  if (place == std::string::npos) return std::nullopt;
  return std::atoll(text.c_str() + place + 5);
}

void mark_finished(const std::filesystem::path& directory, const std::string& phase, std::int64_t step) {
  replace_text_file(directory / kMarker, fmt::format("{} finished with step {}\n", phase, step));
}

void unmark_finished(const std::filesystem::path& directory) {
  std::error_code ignored;
  std::filesystem::remove(directory / kMarker, ignored);
}

}  // namespace coxswain
