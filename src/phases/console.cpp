#include "phases/console.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coxswain {

namespace {

constexpr int kLinesAHeader = 25;
constexpr std::size_t kMostColumns = 4;
constexpr std::size_t kNarrowest = 10;
constexpr double kMeanMemory = 0.97;         // some thirty steps: a few rollouts of PPO with their updates
constexpr const char* kRare = "validation";  // values of some steps only stand behind the columns

std::string spoken(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::size_t step_width(std::int64_t total) {
  return std::max<std::size_t>(9, 2 * fmt::formatted_size("{}", total) + 1);
}

}  // namespace

std::string metric_text(double value) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  const double size = std::abs(value);
  if (value == std::floor(value)) return size < 1e6 ? fmt::format("{:.0f}", value) : count_text(value);
  if (size >= 1e-2 && size < 1e5) return fmt::format("{:.4f}", value);
  return fmt::format("{:.3e}", value);
}

void Console::choose_columns(const StepReport& report, const StepTiming& timing) {
  for (const auto& [name, value] : report.metrics) {
    if (!has_metrics_ || columns_.size() == kMostColumns || name.starts_with(kRare)) continue;
    const std::string label = spoken(name);
    columns_.push_back({name, label, std::max(kNarrowest, label.size()) + 2});
  }
  shows_tokens_ = report.tokens > 0;
  shows_share_ = timing.gemm_share >= 0;
  chosen_ = true;
}

std::string Console::header() const {
  std::string text = fmt::format("{:>{}}", "step", step_width(total_steps_));
  for (const Column& column : columns_) text += fmt::format("{:>{}}", column.label, column.width);
  if (shows_tokens_) text += fmt::format("{:>10}", "tokens/s");
  if (shows_share_) text += fmt::format("{:>8}", "GEMM");
  return text + fmt::format("{:>14}{:>14}", "elapsed", "left");
}

std::string Console::row(const StepReport& report, const StepTiming& timing, double elapsed, double left) const {
  std::string text = fmt::format("{:>{}}", fmt::format("{}/{}", timing.step, total_steps_), step_width(total_steps_));
  for (const Column& column : columns_) {
    const auto found = std::find_if(report.metrics.begin(), report.metrics.end(),
                                    [&](const auto& metric) { return metric.first == column.metric; });
    text += fmt::format("{:>{}}", found == report.metrics.end() ? "-" : metric_text(found->second), column.width);
  }
  if (shows_tokens_) text += fmt::format("{:>10}", count_text(timing.tokens_per_second));
  if (shows_share_) {
    text += fmt::format("{:>8}", timing.gemm_share < 0 ? "-" : fmt::format("{:.0f} %", 100 * timing.gemm_share));
  }
  return text + fmt::format("{:>14}{:>14}", duration_text(elapsed), duration_text(left));
}

// What has no column, so that a validation loss is seen when it comes.
std::string Console::extras(const StepReport& report) const {
  std::string text;
  for (const auto& [name, value] : report.metrics) {
    if (has_metrics_ && name.starts_with(kRare)) text += fmt::format("  {} {}", spoken(name), metric_text(value));
  }
  if (!report.note.empty()) text += "  " + report.note;
  return text;
}

void Console::step(const StepReport& report, const StepTiming& timing, double elapsed) {
  const bool first = !chosen_;
  if (first) choose_columns(report, timing);
  // From row to row, so that saves count too.
  latest_seconds_ = kMeanMemory * latest_seconds_ + (first ? timing.seconds : elapsed - elapsed_);
  latest_steps_ = kMeanMemory * latest_steps_ + 1;
  elapsed_ = elapsed;
  const auto steps_left = static_cast<double>(std::max<std::int64_t>(0, total_steps_ - timing.step));
  const double left = steps_left * latest_seconds_ / latest_steps_;
  seconds_ += timing.seconds;
  tokens_ += static_cast<double>(report.tokens);
  share_seconds_ += timing.gemm_share * timing.seconds;
  const std::string behind = extras(report);
  if (first || timing.step % every_ == 0 || timing.step == total_steps_ || !behind.empty()) {
    if (lines_ % kLinesAHeader == 0) log_->info("{}", header());
    ++lines_;
    StepTiming mean = timing;
    if (seconds_ > 0) {
      mean.tokens_per_second = tokens_ / seconds_;
      mean.gemm_share = share_seconds_ / seconds_;
    }
    seconds_ = tokens_ = share_seconds_ = 0;
    log_->info("{}{}", row(report, mean, elapsed, left), behind);
    bar_.redraw();
  }
  if (timing.step < total_steps_) {
    bar_.show(timing.step, fmt::format("{}/{}, {} left", timing.step, total_steps_, duration_text(left)));
  }
}

}  // namespace coxswain
