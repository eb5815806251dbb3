#include "io/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace coxswain {

std::vector<double> axis_ticks(double low, double high, int most) {
  if (!(high > low) || most < 1) return {};
  const double rough = (high - low) / most;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0, 10.0, 20.0, 50.0}) {
    const double spacing = factor * power;
    const double first = std::ceil(low / spacing - 1e-9), last = std::floor(high / spacing + 1e-9);
    if (last - first + 1 > most) continue;
    std::vector<double> ticks;
    for (double index = first; index <= last; ++index) ticks.push_back(index == 0 ? 0.0 : index * spacing);
    return ticks;
  }
  return {};
}

std::vector<std::string> tick_labels(const std::vector<double>& ticks) {
  double largest = 0, spacing = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    largest = std::max(largest, std::abs(ticks[i]));
    if (i > 0) spacing = std::min(spacing, ticks[i] - ticks[i - 1]);
  }
  if (!std::isfinite(spacing)) spacing = largest > 0 ? largest : 1;
  const bool tiny = largest > 0 && largest < 1e-2;
  const bool thousands = largest >= 10000;
  const double unit = largest >= 1e10 ? 1e9 : largest >= 1e7 ? 1e6 : thousands ? 1e3 : 1;
  const char* letter = unit == 1e9 ? "G" : unit == 1e6 ? "M" : unit == 1e3 ? "k" : "";
  std::vector<std::string> labels;
  for (const double tick : ticks) {
    if (tick == 0) {
      labels.emplace_back("0");
    } else if (tiny) {
      labels.push_back(fmt::format("{:.2g}", tick));
    } else {
      const double step = spacing / unit;
      const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
      labels.push_back(fmt::format("{:.{}f}{}", tick / unit, std::min(decimals, 6), letter));
    }
  }
  return labels;
}

AxisRange value_range(const std::vector<double>& values) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (low > high) return {0, 1};
  if (low == high) {
    const double margin = low == 0 ? 1 : std::abs(low) * 0.1;
    return {low - margin, high + margin};
  }
  const double margin = 0.04 * (high - low);
  return {low >= 0 && low < margin ? 0 : low - margin, high + margin};
}

std::vector<double> smoothed(const std::vector<double>& values, std::int64_t reach) {
  const auto count = static_cast<std::int64_t>(values.size());
  std::vector<double> sums(values.size() + 1, 0.0), counts(values.size() + 1, 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool finite = std::isfinite(values[i]);
    sums[i + 1] = sums[i] + (finite ? values[i] : 0.0);
    counts[i + 1] = counts[i] + (finite ? 1.0 : 0.0);
  }
  std::vector<double> result(values);
  for (std::int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[static_cast<std::size_t>(i)])) continue;
    // At the steep start the window shrinks and stays centred, so that the curve begins where the data do. At the end
    // it keeps its left half: one value must not look like the trend.
    const auto first = static_cast<std::size_t>(std::max<std::int64_t>(0, i - reach));
    const auto last = static_cast<std::size_t>(std::min(i + std::min(reach, i), count - 1) + 1);
    result[static_cast<std::size_t>(i)] = (sums[last] - sums[first]) / (counts[last] - counts[first]);
  }
  return result;
}

}  // namespace coxswain
