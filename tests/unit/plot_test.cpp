// The terminal's plot: dots where they belong, labels inside the width, values that are no numbers left out.
#include "io/plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "io/axis.h"
#include "io/terminal.h"

namespace coxswain {
namespace {

int columns(const std::string& text) {
  int count = 0;
  for (const char c : text) count += (c & 0xC0) != 0x80 ? 1 : 0;
  return count;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST(Plot, FillsItsHeightAndStaysInItsWidth) {
  std::vector<double> falling;
  for (int i = 0; i < 500; ++i) falling.push_back(10.0 / (1 + i));
  for (const int width : {30, 60, 111}) {
    const auto lines =
        lines_of(plot_curve(falling, width, 14, {.title = "loss", .first = 1, .last = 0, .axis_name = "step"}));
    EXPECT_EQ(lines.size(), 14u);
    for (const auto& line : lines) EXPECT_LE(columns(line), width) << line;
  }
}

TEST(Plot, FallingLineGoesFromTheUpperLeftToTheLowerRight) {
  const auto lines = lines_of(plot_curve({1, 0}, 20, 8));
  // Braille cells begin behind the axis: the first row has its dots at the left, the last row at the right.
  const auto place = [](const std::string& line) {
    const std::size_t axis = std::max(line.find("│") + 1, line.find("┤") + 1);
    return columns(line.substr(axis, line.find_first_of('\xE2', axis + 2) - axis));
  };
  EXPECT_LT(place(lines.front()), place(lines[5]));
}

TEST(Plot, WithoutNumbers) {
  EXPECT_EQ(plot_curve({}, 40, 8), "(nothing to plot)\n");
  EXPECT_EQ(plot_curve({std::nan(""), INFINITY}, 40, 8), "(nothing to plot)\n");
  EXPECT_NE(plot_curve({1, std::nan(""), 2}, 40, 8).find("┤"), std::string::npos);
  EXPECT_NE(plot_curve({3, 3, 3}, 40, 8).find("3.0"), std::string::npos);
  EXPECT_FALSE(plot_curve({1}, 5, 2).empty());
}

TEST(Axis, RoundTicksInsideTheRange) {
  EXPECT_EQ(axis_ticks(0, 10, 6), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(axis_ticks(-1, 1, 3), (std::vector<double>{-1, 0, 1}));
  EXPECT_EQ(axis_ticks(3, 3, 5), std::vector<double>{});
  for (const double scale : {1e-9, 1e-3, 1.0, 7e4, 3e12}) {
    const auto ticks = axis_ticks(0.13 * scale, 0.97 * scale, 5);
    EXPECT_GE(ticks.size(), 2u);
    EXPECT_LE(ticks.size(), 5u);
    EXPECT_GE(ticks.front(), 0.13 * scale * (1 - 1e-9));
    EXPECT_LE(ticks.back(), 0.97 * scale * (1 + 1e-9));
  }
}

TEST(Axis, LabelsOfOneAxisAreAlike) {
  EXPECT_EQ(tick_labels({1, 1.5, 2}), (std::vector<std::string>{"1.0", "1.5", "2.0"}));
  EXPECT_EQ(tick_labels({0, 5000, 10000}), (std::vector<std::string>{"0", "5k", "10k"}));
  EXPECT_EQ(tick_labels({0, 1e-4, 2e-4}), (std::vector<std::string>{"0", "0.0001", "0.0002"}));
}

TEST(Axis, RunningMeanKeepsLinesAndLeavesHolesOut) {
  EXPECT_EQ(smoothed({1, 2, 3, 4, 5}, 0), (std::vector<double>{1, 2, 3, 4, 5}));
  EXPECT_EQ(smoothed({0, 3, 0, 3, 0, 3}, 1)[2], 2.0);
  const auto holed = smoothed({1, std::nan(""), 3}, 1);
  EXPECT_EQ(holed[0], 1.0);
  EXPECT_TRUE(std::isnan(holed[1]));
  EXPECT_EQ(holed[2], 3.0);
}

TEST(Terminal, BarFillsByHalfCells) {
  EXPECT_EQ(bar_text(0, 4), "────");
  EXPECT_EQ(bar_text(0.625, 4), "━━╸─");
  EXPECT_EQ(bar_text(1, 4), "━━━━");
  EXPECT_LE(columns(progress_line(3, 9, "3/9, 5.0 s left", 40)), 40);
  EXPECT_EQ(progress_line(3, 9, "a text that is too long", 10), "");
}

TEST(Terminal, ShortNumbers) {
  EXPECT_EQ(duration_text(8.31), "8.3 s");
  EXPECT_EQ(duration_text(59.97), "1 min 00 s");
  EXPECT_EQ(duration_text(245), "4 min 05 s");
  EXPECT_EQ(duration_text(3 * 3600 + 12 * 60), "3 h 12 min");
  EXPECT_EQ(duration_text(2 * 86400 + 4 * 3600), "2 d 04 h");
  EXPECT_EQ(duration_text(NAN), "-");
  EXPECT_EQ(count_text(950), "950");
  EXPECT_EQ(count_text(999.6), "1.00k");
  EXPECT_EQ(count_text(12345), "12.3k");
  EXPECT_EQ(count_text(4.56e6), "4.56M");
  EXPECT_EQ(count_text(999e15), "999P");
  EXPECT_EQ(count_text(1e30), "1.0e+30");
}

}  // namespace
}  // namespace coxswain
