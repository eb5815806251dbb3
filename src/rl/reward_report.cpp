#include "rl/reward_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/svg_chart.h"

namespace coxswain {

namespace {

constexpr int kBins = 10;
constexpr const char* kNoName = "(not given)";

struct Pairs : JudgedPairs {
  std::vector<std::string> labelers, sources;
};

void add_pairs(const Comparison& comparison, std::int64_t number, std::span<const double> scores, Pairs& pairs) {
  for (std::size_t i = 0; i < scores.size(); ++i)
    for (std::size_t j = 0; j < scores.size(); ++j) {
      if (comparison.ranks[i] >= comparison.ranks[j]) continue;
      pairs.margins.push_back(scores[i] - scores[j]);
      pairs.comparisons.push_back(number);
      pairs.labelers.push_back(comparison.labeler.empty() ? kNoName : comparison.labeler);
      pairs.sources.push_back(comparison.source.empty() ? kNoName : comparison.source);
    }
}

std::map<std::string, Proportion> by_name(const Pairs& pairs, const std::vector<std::string>& names) {
  const bool named = std::any_of(names.begin(), names.end(), [](const std::string& name) { return name != kNoName; });
  return named ? accuracy_by_group(pairs, names) : std::map<std::string, Proportion>{};
}

nlohmann::ordered_json json_of(const Proportion& accuracy) {
  return {{"share", accuracy.share},
          {"low", accuracy.interval.low},
          {"high", accuracy.interval.high},
          {"pairs", accuracy.trials}};
}

nlohmann::ordered_json json_of(const std::map<std::string, Proportion>& groups) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const auto& [name, accuracy] : groups) json[name] = json_of(accuracy);
  return json;
}

struct Row {
  std::string what;
  Proportion accuracy;
};

std::vector<Row> rows_of(const RewardReport& report) {
  std::vector<Row> rows = {{"all pairs", report.accuracy}};
  for (const auto& [name, accuracy] : report.by_labeler) rows.push_back({"labeler " + name, accuracy});
  for (const auto& [name, accuracy] : report.by_source) rows.push_back({"source " + name, accuracy});
  return rows;
}

std::string reference_text(const RewardReport& report) {
  return fmt::format("scores of the reference: mean {:.4g}, deviation {:.4g}, normalised to {:.4g} and {:.4g}",
                     report.reference[0].mean, report.reference[0].deviation, report.reference[1].mean,
                     report.reference[1].deviation);
}

// Both axes in per cent.
Chart reliability_chart(const RewardReport& report) {
  ChartLine people{.series = {}, .label = "people agree", .rare = true},
      even = {.series = {}, .label = "as it should be"};
  for (const ReliabilityBin& bin : report.reliability) {
    if (bin.accuracy.trials == 0) continue;
    people.series.steps.push_back(100 * bin.mean_confidence);
    people.series.values.push_back(100 * bin.accuracy.share);
  }
  even.series.steps = even.series.values = {50, 100};
  return {.title = "Agreement against the model's confidence in a pair, %",
          .lines = {people, even},
          .first_step = 50,
          .last_step = 100,
          .restarts = {},
          .across = "confidence"};
}

}  // namespace

RewardReport judge_scores(std::span<const Comparison> comparisons, std::span<const double> scores, double gain) {
  Pairs pairs;
  std::size_t first = 0;
  std::int64_t number = 0;
  for (const Comparison& comparison : comparisons) {
    add_pairs(comparison, number++, scores.subspan(first, comparison.responses.size()), pairs);
    first += comparison.responses.size();
  }
  RewardReport report;
  report.comparisons = std::ssize(comparisons);
  report.accuracy = accuracy(pairs);
  report.by_labeler = by_name(pairs, pairs.labelers);
  report.by_source = by_name(pairs, pairs.sources);
  for (double& margin : pairs.margins) margin *= gain;
  report.reliability = reliability(pairs, kBins);
  report.calibration_error = expected_calibration_error(report.reliability);
  return report;
}

std::string to_json(const RewardReport& report) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (report.comparisons > 0) {
    json["comparisons"] = report.comparisons;
    json["accuracy"] = json_of(report.accuracy);
    json["by_labeler"] = json_of(report.by_labeler);
    json["by_source"] = json_of(report.by_source);
    json["calibration_error"] = report.calibration_error;
    json["reliability"] = nlohmann::ordered_json::array();
    for (const ReliabilityBin& bin : report.reliability)
      json["reliability"].push_back({{"low", bin.low},
                                     {"high", bin.high},
                                     {"mean_confidence", bin.mean_confidence},
                                     {"accuracy", json_of(bin.accuracy)}});
  }
  const char* const names[] = {"reference_before", "reference"};
  for (std::size_t i = 0; i < report.reference.size(); ++i)
    json[names[i]] = {{"mean", report.reference[i].mean}, {"deviation", report.reference[i].deviation}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string to_text(const RewardReport& report) {
  std::string text;
  if (report.comparisons > 0) {
    text += fmt::format("{} held-out comparisons\n  {:<28} {:>8} {:>9}   95 % interval\n", report.comparisons, "",
                        "pairs", "accuracy");
    for (const Row& row : rows_of(report))
      text += fmt::format("  {:<28} {:>8} {:>7.1f} %   {:.1f} ... {:.1f} %\n", row.what, row.accuracy.trials,
                          100 * row.accuracy.share, 100 * row.accuracy.interval.low, 100 * row.accuracy.interval.high);
    text += fmt::format("  calibration error {:.1f} %\n", 100 * report.calibration_error);
  }
  if (!report.reference.empty()) text += reference_text(report) + "\n";
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string to_html(const RewardReport& report) {
  std::string html;
  if (report.comparisons > 0) {
    std::string rows;
    for (const Row& row : rows_of(report))
      rows += fmt::format("<tr><th>{}</th><td>{:.1f} % of {} pairs, 95 % interval {:.1f} to {:.1f} %</td></tr>\n",
                          escape_html(row.what), 100 * row.accuracy.share, row.accuracy.trials,
                          100 * row.accuracy.interval.low, 100 * row.accuracy.interval.high);
    html += fmt::format("<h2>Accuracy on {} held-out comparisons</h2>\n<table>{}</table>\n", report.comparisons, rows);
    html += fmt::format("<h2>Calibration</h2>\n<figure>{}</figure>\n<p class=\"note\">Mean distance {:.1f} %.</p>\n",
                        svg_chart(reliability_chart(report)), 100 * report.calibration_error);
  }
  if (!report.reference.empty()) html += fmt::format("<p class=\"note\">{}.</p>\n", reference_text(report));
  return html;
}

}  // namespace coxswain
