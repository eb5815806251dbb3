#include "rl/proportion.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"

namespace coxswain {
namespace {

// Of sorted values, linear between neighbours: position share (n - 1), as in R's type 7.
double quantile_of(const std::vector<double>& sorted, double share) {
  const double position = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (position - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// Wilson's, of n independent trials.
Interval wilson(double share, double n, double quantile) {
  const double square = quantile * quantile;
  const double centre = (share + square / (2 * n)) / (1 + square / n);
  const double reach = quantile / (1 + square / n) * std::sqrt(share * (1 - share) / n + square / (4 * n * n));
  return {std::max(0.0, centre - reach), std::min(1.0, centre + reach)};
}

}  // namespace

Proportion proportion(double successes, std::int64_t trials, double quantile) {
  if (trials <= 0) return {0, 0, {0, 1}};
  const double share = successes / static_cast<double>(trials);
  return {trials, share, wilson(share, static_cast<double>(trials), quantile)};
}

Proportion clustered_proportion(std::span<const Cluster> clusters, double quantile) {
  Cluster all;
  for (const Cluster& cluster : clusters) {
    all.successes += cluster.successes;
    all.trials += cluster.trials;
  }
  if (all.trials <= 0) return {0, 0, {0, 1}};
  const auto n = static_cast<double>(all.trials);
  const double share = all.successes / n;
  double squares = 0;
  for (const Cluster& cluster : clusters)
    squares += std::pow(cluster.successes - share * static_cast<double>(cluster.trials), 2);
  const double independent =
      squares > 0 ? share * (1 - share) * n * n / squares : static_cast<double>(std::ssize(clusters));
  return {all.trials, share, wilson(share, std::min(n, independent), quantile)};
}

Interval bootstrap_mean(std::span<const double> values, const RandomKey& key, int resamples, double level) {
  if (values.empty()) return {};
  const auto n = static_cast<std::uint64_t>(values.size());
  std::vector<double> means;
  for (std::uint64_t sample = 0; sample < static_cast<std::uint64_t>(resamples); ++sample) {
    double sum = 0;
    for (std::uint64_t draw = 0; draw < n; ++draw) sum += values[uniform_integer(key, sample * n + draw, n)];
    means.push_back(sum / static_cast<double>(n));
  }
  std::sort(means.begin(), means.end());
  return {quantile_of(means, (1 - level) / 2), quantile_of(means, (1 + level) / 2)};
}

}  // namespace coxswain
