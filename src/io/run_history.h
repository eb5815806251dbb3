// The numbers of a run so far, as its metrics.jsonl and timing.jsonl hold them; what report.html is drawn from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/metrics_log.h"

namespace coxswain {

struct Series {
  std::string name;
  std::vector<double> steps, values;
  double last() const { return values.back(); }
};

struct RunSession {
  std::int64_t first_step = 0;
  std::string description;
};

class RunHistory {
 public:
  void add_metrics(std::int64_t step, std::int64_t tokens, const NamedValues& metrics);
  void add_timing(const StepTiming& timing);

  std::int64_t step() const { return step_; }
  std::int64_t tokens() const { return tokens_; }
  double seconds() const { return seconds_; }                      // spent in steps
  const std::vector<Series>& metrics() const { return metrics_; }  // in the order in which they first appeared
  const Series* find(const std::string& name) const;               // a metric; null if there is none
  const Series& tokens_per_second() const { return tokens_per_second_; }
  const Series& gemm_share() const { return gemm_share_; }
  const std::vector<RunSession>& sessions() const { return sessions_; }

 private:
  std::int64_t step_ = 0, tokens_ = 0;
  double seconds_ = 0;
  std::vector<Series> metrics_;
  Series tokens_per_second_{.name = "tokens_per_second", .steps = {}, .values = {}};
  Series gemm_share_{.name = "gemm_share", .steps = {}, .values = {}};
  std::vector<RunSession> sessions_;
};

// Reads both files of a run directory; lines that cannot be read are left out.
RunHistory read_run_history(const std::filesystem::path& directory);

}  // namespace coxswain
