#include "io/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "io/axis.h"

namespace coxswain {

namespace {

constexpr int kMost = 700;  // points of a drawn line: more cannot be seen, and the file stays small

struct Frame {
  double left, right, top, bottom;  // in the drawing
  AxisRange x, y;                   // in numbers
  double across(double step) const { return left + (step - x.low) / (x.high - x.low) * (right - left); }
  double down(double value) const {
    // What lies beyond the frame is drawn one frame beyond it and clipped: a line still leads there.
    const double share = std::clamp((value - y.low) / (y.high - y.low), -1.0, 2.0);
    return bottom - share * (bottom - top);
  }
};

bool in_steps(const Chart& chart) { return chart.across == "step"; }

// A few spikes must not flatten the rest: the range leaves the outermost half per cent out if it lies far away.
AxisRange robust_range(const std::vector<ChartLine>& lines) {
  std::vector<double> values;
  for (const ChartLine& line : lines) {
    for (const std::vector<double>* some : {&line.series.values, &line.low, &line.high}) {
      for (const double value : *some) {
        if (std::isfinite(value)) values.push_back(value);
      }
    }
  }
  if (values.size() < 50) return value_range(values);
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  };
  const double low = at(0.005), high = at(0.995), spread = 0.3 * (high - low);
  if (spread == 0) return value_range(values);
  return value_range({std::max(values.front(), low - spread), std::min(values.back(), high + spread)});
}

// At most kMost points; of each group the smallest and the largest value stay, so that spikes do.
Series thinned(const Series& series) {
  if (series.values.size() <= kMost) return series;
  Series result{.name = series.name, .steps = {}, .values = {}};
  const auto keep = [&](std::size_t index) {
    result.steps.push_back(series.steps[index]);
    result.values.push_back(series.values[index]);
  };
  const std::size_t groups = kMost / 2, count = series.values.size();
  for (std::size_t group = 0; group < groups; ++group) {
    const std::size_t first = group * count / groups, last = (group + 1) * count / groups;
    std::size_t low = first, high = first;
    for (std::size_t i = first; i < last; ++i) {
      if (!(series.values[i] >= series.values[low])) low = i;
      if (!(series.values[i] <= series.values[high])) high = i;
    }
    keep(std::min(low, high));
    if (low != high) keep(std::max(low, high));
  }
  return result;
}

// A schedule such as the learning rate is drawn as it is; only what jumps from step to step gets a running mean.
bool noisy(const Series& series) {
  double jumps = 0, travel = 0;
  for (std::size_t i = 2; i < series.values.size(); ++i) {
    const double now = series.values[i] - series.values[i - 1], before = series.values[i - 1] - series.values[i - 2];
    if (!std::isfinite(now) || !std::isfinite(before)) continue;
    jumps += std::abs(now - before);
    travel += std::abs(now);
  }
  return jumps > 0.5 * travel;
}

std::string path_of(const Series& series, const Frame& frame) {
  std::string path;
  bool pen_down = false;
  for (std::size_t i = 0; i < series.values.size(); ++i) {
    if (!std::isfinite(series.values[i])) {
      pen_down = false;
      continue;
    }
    path += fmt::format("{}{:.1f} {:.1f}", pen_down ? "L" : "M", frame.across(series.steps[i]),
                        frame.down(series.values[i]));
    pen_down = true;
  }
  return path;
}

std::string axes(const Chart& chart, const Frame& frame) {
  std::string svg;
  const auto rows = axis_ticks(frame.y.low, frame.y.high, std::max(3, static_cast<int>(frame.bottom - frame.top) / 44));
  const auto row_labels = tick_labels(rows);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double y = frame.down(rows[i]);
    svg += fmt::format(R"(<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/><text x="{:.1f}" y="{:.1f}" )"
                       R"(class="tick end">{}</text>)",
                       frame.left, y, frame.right, frame.left - 10, y + 4, row_labels[i]);
  }
  const int most = std::max(3, static_cast<int>(frame.right - frame.left) / 90);
  auto columns = axis_ticks(frame.x.low, frame.x.high, most);
  if (in_steps(chart)) std::erase_if(columns, [](double step) { return step != std::floor(step); });
  const auto column_labels = tick_labels(columns);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const double x = frame.across(columns[i]);
    svg += fmt::format(R"(<path class="axis" d="M{:.1f} {:.1f}v5"/><text x="{:.1f}" y="{:.1f}" class="tick middle">)"
                       "{}</text>",
                       x, frame.bottom, x, frame.bottom + 20, column_labels[i]);
  }
  if (!in_steps(chart))
    svg += fmt::format(R"(<text x="{:.1f}" y="{:.1f}" class="tick end">{}</text>)", frame.right, frame.bottom - 8,
                       escape_html(chart.across));
  return svg + fmt::format(R"(<path class="axis" d="M{:.1f} {:.1f}H{:.1f}"/>)", frame.left, frame.bottom, frame.right);
}

// A bar from low to high through each point.
std::string bars(const ChartLine& line, int colour, const Frame& frame) {
  std::string svg;
  for (std::size_t i = 0; i < line.low.size(); ++i)
    svg += fmt::format(R"(<path class="bar c{}" d="M{:.1f} {:.1f}V{:.1f}"/>)", colour,
                       frame.across(line.series.steps[i]), frame.down(line.low[i]), frame.down(line.high[i]));
  return svg;
}

std::string curves(const Chart& chart, const Frame& frame) {
  std::string svg;
  int colour = 0;
  for (const ChartLine& line : chart.lines) {
    ++colour;
    const Series& series = line.series;
    if (line.rare) {
      svg += fmt::format(R"(<path class="strong c{}" d="{}"/>)", colour, path_of(thinned(series), frame));
      if (series.values.size() > 120) continue;
      svg += bars(line, colour, frame);
      for (std::size_t i = 0; i < series.values.size(); ++i) {
        if (!std::isfinite(series.values[i])) continue;
        svg += fmt::format(R"(<circle class="dot c{}" cx="{:.1f}" cy="{:.1f}" r="3"/>)", colour,
                           frame.across(series.steps[i]), frame.down(series.values[i]));
      }
      continue;
    }
    const auto reach = noisy(series) ? static_cast<std::int64_t>(series.values.size() / 60) : 0;
    Series mean = series;
    mean.values = smoothed(smoothed(series.values, reach), reach);
    if (reach > 0) svg += fmt::format(R"(<path class="pale c{}" d="{}"/>)", colour, path_of(thinned(series), frame));
    svg += fmt::format(R"(<path class="strong c{}" d="{}"/>)", colour, path_of(thinned(mean), frame));
  }
  return svg;
}

// What the pointer reads off: [[step, value], ...] for each line.
std::string readable_points(const Chart& chart) {
  std::string json = "[";
  for (const ChartLine& line : chart.lines) {
    const Series series = thinned(line.series);
    json += json.size() > 1 ? ",[" : "[";
    bool first = true;
    for (std::size_t i = 0; i < series.values.size(); ++i) {
      if (!std::isfinite(series.values[i])) continue;
      json += fmt::format("{}[{:.9g},{:.5g}]", first ? "" : ",", series.steps[i], series.values[i]);
      first = false;
    }
    json += "]";
  }
  return json + "]";
}

std::string legend(const Chart& chart, const Frame& frame) {
  std::string svg = fmt::format(R"(<text x="0" y="17" class="title">{}</text>)", escape_html(chart.title));
  double x = frame.right;
  for (std::size_t i = chart.lines.size(); chart.lines.size() > 1 && i-- > 0;) {
    const std::string& label = chart.lines[i].label;
    svg += fmt::format(R"(<text x="{:.1f}" y="17" class="tick end">{}</text>)", x, escape_html(label));
    x -= 6.6 * static_cast<double>(label.size()) + 24;
    svg += fmt::format(R"(<path class="strong c{}" d="M{:.1f} 13h14"/>)", i + 1, x);
    x -= 22;
  }
  return svg;
}

}  // namespace

std::string escape_html(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::string svg_chart(const Chart& chart) {
  const double first = chart.first_step, last = chart.last_step > first ? chart.last_step : first + 1;
  const Frame frame{.left = 54,
                    .right = chart.width - 8.0,
                    .top = 36,
                    .bottom = chart.height - 30.0,
                    .x = {first, last},
                    .y = robust_range(chart.lines)};
  static int number = 0;  // of the clip path: unique in a document
  const std::string clip = fmt::format("frame{}", ++number);
  std::string svg = fmt::format(
      R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}" data-frame="{},{},{},{},{},{}" data-across="{}" )"
      R"(data-points="{}">)",
      chart.width, chart.height, escape_html(chart.title), frame.left, frame.right, frame.top, frame.bottom, first,
      last, escape_html(chart.across), readable_points(chart));
  svg += fmt::format(R"(<clipPath id="{}"><rect x="{}" y="{}" width="{}" height="{}"/></clipPath>)", clip, frame.left,
                     frame.top - 2, frame.right - frame.left + 4, frame.bottom - frame.top + 4);
  svg += legend(chart, frame) + axes(chart, frame);
  for (const double step : chart.restarts) {
    svg += fmt::format(R"(<path class="restart" d="M{:.1f} {:.1f}V{:.1f}"><title>restart at step {}</title></path>)",
                       frame.across(step), frame.top, frame.bottom, step);
  }
  svg += fmt::format(R"x(<g clip-path="url(#{})">{}</g>)x", clip, curves(chart, frame));
  return svg + R"(<g class="pointer" hidden><path class="axis"/><text class="tick"></text></g></svg>)";
}

}  // namespace coxswain
