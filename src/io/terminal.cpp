#include "io/terminal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace coxswain {

namespace {

// Columns of a UTF-8 text: every character that is used here is one column wide.
int columns(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

int columns_of(int descriptor) {
  winsize size{};
  return isatty(descriptor) == 1 && ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

// Of the window that the output ends up in; 0 where it is none. Open MPI gives every rank a terminal of its own, which
// has no size, whatever mpirun's output is: then mpirun, the parent of ranks on its node, is asked.
int window_columns() {
  if (isatty(STDOUT_FILENO) != 1) return 0;
  if (const int columns = columns_of(STDOUT_FILENO); columns > 0) return columns;
  const int parent =
      open(fmt::format("/proc/{}/fd/1", getppid()).c_str(), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (parent < 0) return 0;
  const int columns = columns_of(parent);
  close(parent);
  return columns;
}

}  // namespace

bool on_terminal() {
  const char* term = std::getenv("TERM");
  return term != nullptr && std::string_view(term) != "dumb" && window_columns() > 0;
}

int terminal_width() {
  if (const int columns = window_columns(); columns > 0) return columns;
  const char* columns = std::getenv("COLUMNS");
  const int asked = columns != nullptr ? std::atoi(columns) : 0;
  return asked > 0 ? asked : 100;
}

void ProgressBar::show(std::int64_t done, std::string_view text) {
  if (!on_terminal()) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - drawn_ < std::chrono::milliseconds(100) && done < total_) return;
  drawn_ = now;
  log_->progress(progress_line(done, total_, text, terminal_width() - 1));  // a full line makes some terminals wrap
}

std::string progress_line(std::int64_t done, std::int64_t total, std::string_view text, int width) {
  const double share = total > 0 ? std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0) : 0;
  const std::string tail = fmt::format(" {:3.0f} %  {}", std::floor(100 * share), text);
  const int cells = std::min(40, width - columns(tail));
  if (cells >= 8) return bar_text(share, cells) + tail;
  return columns(tail) <= width ? tail : std::string();
}

std::string bar_text(double share, int cells) {
  const int halves = static_cast<int>(std::floor(share * 2 * cells + 1e-9));
  std::string text;
  for (int cell = 0; cell < cells; ++cell) {
    if (2 * cell + 2 <= halves) {
      text += "━";
    } else {
      text += 2 * cell + 1 == halves ? "╸" : "─";
    }
  }
  return text;
}

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return "-";
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} d {:02} h", whole / 86400, whole % 86400 / 3600);
}

std::string count_text(double count) {
  if (!std::isfinite(count)) return "-";
  if (std::abs(count) >= 999.5e15) return fmt::format("{:.1e}", count);
  const char* letters[] = {"", "k", "M", "G", "T", "P"};
  int letter = 0;
  while (std::abs(count) >= 999.5 && letter < 5) {
    count /= 1000;
    ++letter;
  }
  if (letter == 0) return fmt::format("{:.0f}", count);
  const int decimals = std::abs(count) < 9.995 ? 2 : std::abs(count) < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f}{}", count, decimals, letters[letter]);
}

}  // namespace coxswain
