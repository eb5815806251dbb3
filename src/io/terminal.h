// What a terminal shows beside plain lines: its width, a progress bar at its foot, and short forms of numbers.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/log.h"

namespace coxswain {

bool on_terminal();    // standard output is one, and can redraw a line
int terminal_width();  // of standard output, else COLUMNS, else 100

// A bar at the foot of a terminal, redrawn in place at most ten times a second; nothing where the log's output goes to
// a file.
class ProgressBar {
 public:
  ProgressBar(Log& log, std::int64_t total) : log_(&log), total_(total) {}
  void show(std::int64_t done, std::string_view text);
  void redraw() { drawn_ = {}; }  // show() draws at once: a line has just replaced the bar

 private:
  Log* log_;
  std::int64_t total_;
  std::chrono::steady_clock::time_point drawn_{};
};

// The whole line of a bar, at most `width` columns; only the text where there is no room for a bar.
std::string progress_line(std::int64_t done, std::int64_t total, std::string_view text, int width);

std::string bar_text(double share, int cells);  // "━━━━╸────", always `cells` columns wide
std::string duration_text(double seconds);      // 8.3 s, 4 min 05 s, 3 h 12 min, 2 d 04 h
std::string count_text(double count);           // 950, 12.3k, 4.56M, 789G

}  // namespace coxswain
