#include "rl/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace coxswain {
namespace {

double right(double margin) { return margin > 0 ? 1 : margin == 0 ? 0.5 : 0; }

}  // namespace

std::vector<ReliabilityBin> reliability(const JudgedPairs& pairs, int bins) {
  if (bins < 1) throw std::invalid_argument(fmt::format("reliability: {} bins", bins));
  std::vector<ReliabilityBin> result(static_cast<std::size_t>(bins));
  std::vector<JudgedPairs> inside(result.size());
  const double width = 0.5 / bins;
  for (std::size_t b = 0; b < result.size(); ++b) {
    result[b].low = 0.5 + width * static_cast<double>(b);
    result[b].high = 0.5 + width * static_cast<double>(b + 1);
  }
  for (std::size_t i = 0; i < pairs.margins.size(); ++i) {
    const double margin = pairs.margins[i];
    if (std::isnan(margin)) throw std::invalid_argument("reliability: a margin is not a number");
    const double confidence = 1 / (1 + std::exp(-std::abs(margin)));
    const auto bin = std::min(result.size() - 1, static_cast<std::size_t>((confidence - 0.5) / width));
    result[bin].mean_confidence += confidence;
    inside[bin].margins.push_back(margin);
    inside[bin].comparisons.push_back(pairs.comparisons[i]);
  }
  for (std::size_t b = 0; b < result.size(); ++b) {
    result[b].accuracy = accuracy(inside[b]);
    if (result[b].accuracy.trials > 0) result[b].mean_confidence /= static_cast<double>(result[b].accuracy.trials);
  }
  return result;
}

double expected_calibration_error(const std::vector<ReliabilityBin>& bins) {
  double sum = 0, count = 0;
  for (const ReliabilityBin& bin : bins) {
    const auto trials = static_cast<double>(bin.accuracy.trials);
    sum += trials * std::abs(bin.accuracy.share - bin.mean_confidence);
    count += trials;
  }
  return count > 0 ? sum / count : 0;
}

Proportion accuracy(const JudgedPairs& pairs) {
  std::vector<Cluster> clusters;
  for (std::size_t i = 0; i < pairs.margins.size(); ++i) {
    if (i == 0 || pairs.comparisons[i] != pairs.comparisons[i - 1]) clusters.emplace_back();
    clusters.back().successes += right(pairs.margins[i]);
    clusters.back().trials += 1;
  }
  return clustered_proportion(clusters);
}

std::map<std::string, Proportion> accuracy_by_group(const JudgedPairs& pairs, std::span<const std::string> groups) {
  if (groups.size() != pairs.margins.size())
    throw std::invalid_argument(
        fmt::format("accuracy of {} margins in {} groups", pairs.margins.size(), groups.size()));
  std::map<std::string, JudgedPairs> by_group;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    by_group[groups[i]].margins.push_back(pairs.margins[i]);
    by_group[groups[i]].comparisons.push_back(pairs.comparisons[i]);
  }
  std::map<std::string, Proportion> result;
  for (const auto& [group, its_pairs] : by_group) result[group] = accuracy(its_pairs);
  return result;
}

}  // namespace coxswain
