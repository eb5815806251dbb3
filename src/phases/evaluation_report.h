// What phase evaluate has found, for people: a line a result on the console; in report.html a table of the same and a
// chart of score against the root of the divergence (Bai et al. 2022, figure 4; Gao et al. 2022, figure 1).
#pragma once

#include <string>
#include <vector>

#include "phases/scored_responses.h"
#include "rl/proportion.h"

namespace coxswain {

struct ScorePoint {
  double divergence = 0;  // nats
  double score = 0;
  Interval interval;  // of the score, 95 %
  double root() const;
};

struct EvaluationReport {
  struct Line {
    std::string what, result;
  };
  std::vector<Line> lines;  // in the order in which they were found
  // From the reference, for the chart. Policy and opponent: one point at most; best of n: of the reference's responses.
  std::vector<ScorePoint> policy, opponent, curve, best_of_n;
  void add(const std::string& what, const std::string& result) { lines.push_back({what, result}); }
  void add(const WinRates& rates);
};

std::string score_text(const ScorePoint& point);  // score 0.5210 (0.4012 to 0.6400)

std::string to_text(const EvaluationReport& report);  // a table for the console
std::string to_html(const EvaluationReport& report);  // sections of report.html
// The lines from `first` on as one, behind a step's row on the console.
std::string note_of(const EvaluationReport& report, std::size_t first);

}  // namespace coxswain
