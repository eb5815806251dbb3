// Curves as SVG for report.html: axes, ticks, a pale line of the values and a strong one of their running mean.
#pragma once

#include <string>
#include <vector>

#include "io/run_history.h"

namespace coxswain {

struct ChartLine {
  Series series;
  std::string label;
  bool rare = false;                        // a value now and then (validation): joined points, no running mean
  std::vector<double> low = {}, high = {};  // of rare ones: how far each value may be trusted, a bar through its point
};

struct Chart {
  std::string title;
  std::vector<ChartLine> lines;
  double first_step = 1, last_step = 2;  // the same for all charts of a report
  std::vector<double> restarts;          // steps, marked by a vertical line
  std::string across = "step";           // what the curves are drawn against; steps have whole numbers
  int width = 920, height = 340;
};

// An <svg> element that uses the classes and colours of the report's style sheet.
std::string svg_chart(const Chart& chart);

std::string escape_html(const std::string& text);

}  // namespace coxswain
