#include "phases/evaluation_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/svg_chart.h"

namespace coxswain {

namespace {

std::string rate_text(const Proportion& rate) {
  return fmt::format("{:.1f} % ({:.1f} to {:.1f})", 100 * rate.share, 100 * rate.interval.low,
                     100 * rate.interval.high);
}

ChartLine line_of(std::vector<ScorePoint> points, const std::string& label) {
  std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a.divergence < b.divergence; });
  ChartLine line{.series = {}, .label = label, .rare = true};
  for (const ScorePoint& point : points) {
    line.series.steps.push_back(point.root());
    line.series.values.push_back(point.score);
    line.low.push_back(point.interval.low);
    line.high.push_back(point.interval.high);
  }
  return line;
}

// Without lines where no score comes with a divergence.
Chart score_chart(const EvaluationReport& report) {
  Chart chart;
  chart.title = "Score against the root of the divergence from the reference";
  chart.across = "sqrt(KL)";
  chart.first_step = chart.last_step = 0;
  const std::pair<const std::vector<ScorePoint>*, const char*> lines[] = {{&report.curve, "checkpoints"},
                                                                          {&report.best_of_n, "best of n"},
                                                                          {&report.policy, "policy"},
                                                                          {&report.opponent, "opponent"}};
  for (const auto& [points, label] : lines) {
    if (points->empty()) continue;
    chart.lines.push_back(line_of(*points, label));
    chart.last_step = std::max(chart.last_step, 1.04 * chart.lines.back().series.steps.back());
  }
  return chart;
}

}  // namespace

double ScorePoint::root() const { return std::sqrt(std::max(0.0, divergence)); }

void EvaluationReport::add(const WinRates& rates) {
  add("win rate", fmt::format("{} of {} prompts", rate_text(rates.plain), rates.plain.trials));
  add("at equal length", rate_text(rates.length_controlled.rate));
}

std::string score_text(const ScorePoint& point) {
  return fmt::format("score {:.4f} ({:.4f} to {:.4f})", point.score, point.interval.low, point.interval.high);
}

std::string to_text(const EvaluationReport& report) {
  std::string text;
  for (const auto& [what, result] : report.lines) text += fmt::format("  {:<16}  {}\n", what, result);
  return text;
}

std::string note_of(const EvaluationReport& report, std::size_t first) {
  std::string text;
  for (std::size_t i = first; i < report.lines.size(); ++i)
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", report.lines[i].what, report.lines[i].result);
  return text;
}

std::string to_html(const EvaluationReport& report) {
  std::string rows;
  for (const auto& [what, result] : report.lines)
    rows += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escape_html(what), escape_html(result));
  std::string html = fmt::format(
      "<h2>Results</h2>\n<table>{}</table>\n"
      "<p class=\"note\">In brackets: 95 % intervals. KL: from the reference, a response, in nats.</p>\n",
      rows);
  if (const Chart chart = score_chart(report); !chart.lines.empty())
    html += fmt::format("<h2>Score and divergence</h2>\n<figure>{}</figure>\n", svg_chart(chart));
  return html;
}

}  // namespace coxswain
