// Round numbers on an axis, for the plots in the terminal and in report.html.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace coxswain {

// Multiples of 1, 2 or 5 times a power of ten inside [low, high], at most `most` of them.
std::vector<double> axis_ticks(double low, double high, int most);

// All labels of one axis alike: as many decimals as its spacing needs, letters (20k) for large numbers, powers for
// very small ones.
std::vector<std::string> tick_labels(const std::vector<double>& ticks);

struct AxisRange {
  double low = 0, high = 1;
};

// The finite values' range, a little wider; [v - 1, v + 1] around a constant, [0, 1] where nothing is finite.
AxisRange value_range(const std::vector<double>& values);

// The mean of the finite values among the `reach` neighbours to either side; NaN stays out of it and in its place.
std::vector<double> smoothed(const std::vector<double>& values, std::int64_t reach);

}  // namespace coxswain
