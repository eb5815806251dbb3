// What a run says to its user: lines on the console and, with a time stamp, in the run directory's log.txt.
//
// One rank speaks; the others are quiet but for warnings and errors, which name the speaker. Any thread may call.
#pragma once

#include <fmt/format.h>

#include <fstream>
#include <iosfwd>
#include <mutex>
#include <string>

namespace coxswain {

enum class LogLevel { detail, info, warning, error };  // detail: log.txt only

class Log {
 public:
  struct Options {
    bool speaks = true;             // false: only warnings and errors reach the console
    std::string speaker;            // in front of those, if not empty: "tensor 1 of 2, ... on node07"
    std::ostream* out = nullptr;    // null: standard output
    std::ostream* error = nullptr;  // null: standard error; warnings and errors
  };
  Log() : Log(Options{}) {}
  explicit Log(Options options);

  // Appends to this file from now on. Throws Error(input_output).
  void open(const std::string& path);

  void line(LogLevel level, const std::string& text);
  template <class... Args>
  void detail(fmt::format_string<Args...> format, Args&&... args) {
    line(LogLevel::detail, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) {
    line(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void warning(fmt::format_string<Args...> format, Args&&... args) {
    line(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    line(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
  }

  // A line at the foot of a terminal that the next one replaces, such as a bar. Nothing if the output is no terminal.
  void progress(const std::string& text);

 private:
  void clear_progress();

  std::mutex mutex_;
  Options options_;
  std::ofstream file_;
  bool terminal_ = false;
  bool progress_shown_ = false;
};

}  // namespace coxswain
