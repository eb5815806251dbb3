#include "program/information.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "io/plot.h"
#include "io/run_history.h"
#include "io/terminal.h"
#include "settings/help.h"

namespace coxswain {

namespace {

// The loss, or where a run has none what it reports first: PPO's reward.
std::string curve_of(const std::string& directory) {
  const RunHistory history = read_run_history(directory);
  const Series* curve = history.find("loss");
  if (curve == nullptr && !history.metrics().empty()) curve = &history.metrics().front();
  if (curve == nullptr)
    throw Error(ExitCode::usage, fmt::format("--plot {}: no metrics.jsonl with numbers in it; give the directory of a "
                                             "training run",
                                             directory));
  PlotText text;
  text.title = fmt::format("{}, {} steps, last {:.4f}", curve->name, history.step(), curve->last());
  text.first = static_cast<std::int64_t>(curve->steps.front());
  text.last = static_cast<std::int64_t>(curve->steps.back());
  return plot_curve(curve->values, std::min(terminal_width(), 100), 16, text);
}

}  // namespace

std::optional<std::string> information(const CommandLine& command) {
  if (command.version) return fmt::format("coxswain {}\n", COXSWAIN_VERSION);
  if (command.help_deck) return command.markdown ? help_deck_markdown(command.section) : help_deck(command.section);
  if (command.help) return usage_text() + "\n";
  if (!command.plot.empty()) return curve_of(command.plot);
  return std::nullopt;
}

}  // namespace coxswain
