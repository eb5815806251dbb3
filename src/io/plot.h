// A curve in the terminal, drawn with braille dots: two columns and four rows of dots in a character.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace coxswain {

struct PlotText {
  std::string title;       // above the curve
  std::int64_t first = 1;  // the number of the first value along the axis
  std::int64_t last = 0;   // of the last one; 0: first + values.size() - 1
  std::string axis_name = "step";
};

// `width` x `height` characters in all, labels included, lines ended by '\n'. More values than dots are averaged;
// what is not finite is left out.
std::string plot_curve(const std::vector<double>& values, int width, int height, const PlotText& text = {});

}  // namespace coxswain
