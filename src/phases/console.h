// A run's table on the console: a line a step, the header again now and then, a bar at the foot of a terminal.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.h"
#include "io/metrics_log.h"
#include "io/terminal.h"
#include "phases/phase.h"

namespace coxswain {

class Console {
 public:
  // has_metrics: false leaves the metrics' columns out.
  Console(Log& log, std::int64_t total_steps, std::int64_t every, bool has_metrics = true)
      : log_(&log), total_steps_(total_steps), every_(every), has_metrics_(has_metrics), bar_(log, total_steps) {}

  // elapsed: seconds since the program's start. The first report of all decides on the columns.
  void step(const StepReport& report, const StepTiming& timing, double elapsed);

 private:
  struct Column {
    std::string metric, label;
    std::size_t width;
  };
  void choose_columns(const StepReport& report, const StepTiming& timing);
  std::string header() const;
  std::string row(const StepReport& report, const StepTiming& timing, double elapsed, double left) const;
  std::string extras(const StepReport& report) const;

  Log* log_;
  std::int64_t total_steps_, every_;
  bool has_metrics_;
  ProgressBar bar_;
  std::vector<Column> columns_;
  bool chosen_ = false, shows_tokens_ = false, shows_share_ = false;
  int lines_ = 0;
  // Sums since the last line: what a line says of speed is true of all steps up to it.
  double seconds_ = 0, tokens_ = 0, share_seconds_ = 0;
  double latest_seconds_ = 0, latest_steps_ = 0;  // sums that forget; their ratio is the time of a step
  double elapsed_ = 0;                            // at the last step
};

std::string metric_text(double value);  // 5.2134, 1.234e-05, nan

}  // namespace coxswain
