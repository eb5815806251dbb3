// metrics.jsonl and timing.jsonl: one JSON object a line, one line a step, in the order of the steps.
//
// Numbers are printed as the shortest text that reads back to the same bits, so equal runs give equal files. What is
// not a number (a loss that diverged) is null.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "io/append_file.h"

namespace coxswain {

using NamedValues = std::vector<std::pair<std::string, double>>;

// {"step":7,"tokens":3584,"loss":5.25}\n
std::string metrics_line(std::int64_t step, std::int64_t tokens, const NamedValues& metrics);

struct StepTiming {
  std::int64_t step = 0;
  double seconds = 0;
  double tokens_per_second = 0;
  double gemm_share = -1;  // of the machine's measured GEMM rate; negative: unknown, left out
  std::string session;     // on the first line that a start of the program writes: when and on what
};

std::string timing_line(const StepTiming& timing);

class StepLog {
 public:
  explicit StepLog(std::filesystem::path path) : file_(std::move(path)) {}

  struct Cut {
    std::int64_t kept_lines = 0, removed_lines = 0;
    std::int64_t last_step = 0;  // of the last line kept, 0 if none
    bool damaged = false;        // a line that is no JSON object with a step, or the last one unfinished
  };
  // Keeps the lines up to `step` that are whole and in order; everything after them goes.
  Cut cut_back(std::int64_t step);
  void append(const std::string& line) { file_.append(line); }
  void sync() { file_.sync(); }
  const std::filesystem::path& path() const { return file_.path(); }

 private:
  AppendFile file_;
};

}  // namespace coxswain
