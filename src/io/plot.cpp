#include "io/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "io/axis.h"

namespace coxswain {

namespace {

class BrailleCanvas {
 public:
  BrailleCanvas(int columns, int rows) : columns_(columns), cells_(static_cast<std::size_t>(columns * rows), 0) {}

  void dot(int x, int y) {
    static constexpr unsigned char kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    cells_[static_cast<std::size_t>(y / 4 * columns_ + x / 2)] |= kBits[y % 4][x % 2];
  }
  std::string row(int index) const {
    std::string text;
    for (int column = 0; column < columns_; ++column) {
      const unsigned char bits = cells_[static_cast<std::size_t>(index * columns_ + column)];
      if (bits == 0) {
        text += ' ';
      } else {  // U+2800 + bits in UTF-8
        text += '\xE2';
        text += static_cast<char>(0xA0 | bits >> 6);
        text += static_cast<char>(0x80 | (bits & 0x3F));
      }
    }
    return text;
  }

 private:
  int columns_;
  std::vector<unsigned char> cells_;
};

// One value for each column of dots: the mean of those that fall on it, or a straight line between two.
std::vector<double> resampled(const std::vector<double>& values, int dots) {
  std::vector<double> result(static_cast<std::size_t>(dots), std::numeric_limits<double>::quiet_NaN());
  const auto count = static_cast<double>(values.size());
  for (int dot = 0; dot < dots; ++dot) {
    double& out = result[static_cast<std::size_t>(dot)];
    if (count <= dots) {
      const double place = dots > 1 ? dot * (count - 1) / (dots - 1) : 0;
      const auto left = static_cast<std::size_t>(place);
      const std::size_t right = std::min(left + 1, values.size() - 1);
      const double share = place - static_cast<double>(left);
      out = share == 0 ? values[left] : values[left] * (1 - share) + values[right] * share;
      continue;
    }
    const auto first = static_cast<std::size_t>(dot * count / dots);
    const auto last = std::max(first + 1, static_cast<std::size_t>((dot + 1) * count / dots));
    double sum = 0, finite = 0;
    for (std::size_t i = first; i < last && i < values.size(); ++i) {
      if (!std::isfinite(values[i])) continue;
      sum += values[i];
      ++finite;
    }
    if (finite > 0) out = sum / finite;
  }
  return result;
}

void draw(BrailleCanvas& canvas, const std::vector<double>& heights, const AxisRange& range, int rows) {
  const auto row_of = [&](double value) {
    const double share = (range.high - value) / (range.high - range.low);
    return std::clamp(static_cast<int>(std::lround(share * (4 * rows - 1))), 0, 4 * rows - 1);
  };
  int before = -1;
  for (std::size_t x = 0; x < heights.size(); ++x) {
    if (!std::isfinite(heights[x])) {
      before = -1;
      continue;
    }
    const int here = row_of(heights[x]);
    // A steep step is filled up to where the column before it ended, so the curve stays connected.
    const int from = before < 0 || before == here ? here : (before < here ? before + 1 : before - 1);
    for (int y = std::min(from, here); y <= std::max(from, here); ++y) canvas.dot(static_cast<int>(x), y);
    before = here;
  }
}

std::string axis_below(std::int64_t first, std::int64_t last, int margin, int columns, const std::string& name) {
  std::string rule, labels(static_cast<std::size_t>(columns), ' ');
  const auto low = static_cast<double>(first), high = static_cast<double>(last);
  const auto ticks = axis_ticks(low, high, std::max(2, columns / 14));
  const auto texts = tick_labels(ticks);
  std::vector<bool> marked(static_cast<std::size_t>(columns), false);
  std::size_t free_from = 0;
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    const auto column = static_cast<std::size_t>(std::lround((ticks[i] - low) / (high - low) * (columns - 1)));
    const std::size_t half = texts[i].size() / 2, begin = column > half ? column - half : 0;
    if (begin < free_from || begin + texts[i].size() > labels.size()) continue;
    labels.replace(begin, texts[i].size(), texts[i]);
    marked[column] = true;
    free_from = begin + texts[i].size() + 2;
  }
  for (const bool mark : marked) rule += mark ? "┬" : "─";
  // The axis' name stands at the right end, if there is room.
  if (name.size() + 2 <= labels.size() - std::min(labels.size(), labels.find_last_not_of(' ') + 1)) {
    labels.replace(labels.size() - name.size(), name.size(), name);
  }
  labels.erase(labels.find_last_not_of(' ') + 1);
  return fmt::format("{:{}} └{}\n{:{}}  {}\n", "", margin, rule, "", margin, labels);
}

}  // namespace

std::string plot_curve(const std::vector<double>& values, int width, int height, const PlotText& text) {
  const bool any = std::any_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
  if (!any) return text.title.empty() ? "(nothing to plot)\n" : fmt::format("{}: nothing to plot\n", text.title);
  const int rows = std::max(3, height - 2 - (text.title.empty() ? 0 : 1));
  // The range of what is drawn, not of the data: averaging takes peaks away.
  const AxisRange range = value_range(resampled(values, std::max(2, 2 * width)));
  const auto ticks = axis_ticks(range.low, range.high, std::max(3, (rows + 1) / 3));
  const auto labels = tick_labels(ticks);
  std::size_t margin = 1;
  for (const auto& label : labels) margin = std::max(margin, label.size());
  const int columns = std::max(8, width - static_cast<int>(margin) - 2);

  BrailleCanvas canvas(columns, rows);
  draw(canvas, resampled(values, 2 * columns), range, rows);
  std::vector<std::string> beside(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < ticks.size(); ++i) {
    const double share = (range.high - ticks[i]) / (range.high - range.low);
    beside[static_cast<std::size_t>(std::clamp(static_cast<int>(share * rows), 0, rows - 1))] = labels[i];
  }
  std::string plot = text.title.empty() ? "" : fmt::format("{:{}}  {}\n", "", margin, text.title);
  for (int row = 0; row < rows; ++row) {
    const std::string& label = beside[static_cast<std::size_t>(row)];
    plot += fmt::format("{:>{}} {}{}", label, margin, label.empty() ? "│" : "┤", canvas.row(row));
    plot.erase(plot.find_last_not_of(' ') + 1);
    plot += '\n';
  }
  const std::int64_t last = text.last > 0 ? text.last : text.first + static_cast<std::int64_t>(values.size()) - 1;
  return plot +
         axis_below(text.first, std::max(last, text.first + 1), static_cast<int>(margin), columns, text.axis_name);
}

}  // namespace coxswain
