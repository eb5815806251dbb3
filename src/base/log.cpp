#include "base/log.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <iostream>

#include "base/error.h"

namespace coxswain {

namespace {

const char* tag(LogLevel level) {
  if (level == LogLevel::warning) return "warning: ";
  if (level == LogLevel::error) return "error: ";
  return "";
}

}  // namespace

Log::Log(Options options) : options_(std::move(options)) {
  terminal_ = options_.speaks && options_.out == nullptr && isatty(STDOUT_FILENO) == 1;
  if (options_.out == nullptr) options_.out = &std::cout;
  if (options_.error == nullptr) options_.error = &std::cerr;
}

void Log::open(const std::string& path) {
  const std::lock_guard lock(mutex_);
  file_.close();
  file_.clear();
  errno = 0;
  file_.open(path, std::ios::app);
  if (!file_) {
    throw Error(ExitCode::input_output,
                fmt::format("{}: cannot be opened for appending: {}", path, std::strerror(errno)));
  }
}

void Log::line(LogLevel level, const std::string& text) {
  const bool loud = level == LogLevel::warning || level == LogLevel::error;
  const std::string speaker = loud && !options_.speaker.empty() ? "[" + options_.speaker + "] " : "";
  const std::string full = speaker + tag(level) + text;
  const std::lock_guard lock(mutex_);
  if (loud || (options_.speaks && level == LogLevel::info)) {
    clear_progress();
    (loud ? *options_.error : *options_.out) << full << std::endl;
  }
  if (file_.is_open()) {
    const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    file_ << fmt::format("{:%Y-%m-%d %H:%M:%S} ", fmt::localtime(now)) << full << std::endl;
  }
}

void Log::progress(const std::string& text) {
  if (!terminal_) return;
  const std::lock_guard lock(mutex_);
  *options_.out << "\r" << text << "\x1b[K" << std::flush;  // clears the rest of an earlier, longer one
  progress_shown_ = true;
}

void Log::clear_progress() {
  if (!progress_shown_) return;
  *options_.out << "\r\x1b[K" << std::flush;
  progress_shown_ = false;
}

}  // namespace coxswain
