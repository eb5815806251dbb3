#include "io/metrics_log.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

namespace coxswain {

namespace {

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "null"; }

// The step that a whole line is about, or -1.
std::int64_t step_of(std::string_view line) {
  const auto parsed = nlohmann::json::parse(line, nullptr, false);
  if (!parsed.is_object()) return -1;
  const auto step = parsed.find("step");
  return step != parsed.end() && step->is_number_integer() ? step->get<std::int64_t>() : -1;
}

}  // namespace

std::string metrics_line(std::int64_t step, std::int64_t tokens, const NamedValues& metrics) {
  std::string line = fmt::format("{{\"step\":{},\"tokens\":{}", step, tokens);
  for (const auto& [name, value] : metrics) {
    if (name == "step" || name == "tokens") continue;  // a key stands once in an object
    line += fmt::format(",{}:{}", quoted(name), number(value));
  }
  return line + "}\n";
}

std::string timing_line(const StepTiming& timing) {
  std::string line = fmt::format("{{\"step\":{},\"seconds\":{:.6g},\"tokens_per_second\":{}", timing.step,
                                 timing.seconds, number(std::round(timing.tokens_per_second * 10) / 10));
  if (timing.gemm_share >= 0) line += fmt::format(",\"gemm_share\":{:.4f}", timing.gemm_share);
  if (!timing.session.empty()) line += fmt::format(",\"session\":{}", quoted(timing.session));
  return line + "}\n";
}

StepLog::Cut StepLog::cut_back(std::int64_t step) {
  const std::string text = read_text_file(file_.path());
  Cut cut;
  std::size_t kept = 0;
  bool keeping = true;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = text.find('\n', begin);
    const bool whole = end != std::string::npos;
    if (!whole) end = text.size();
    const std::int64_t found = whole && keeping ? step_of({text.data() + begin, end - begin}) : -1;
    if (keeping && found <= cut.last_step) cut.damaged = true;  // includes -1: not a line of ours
    keeping = keeping && found > cut.last_step && found <= step;
    begin = whole ? end + 1 : end;
    if (keeping) {
      cut.last_step = found;
      ++cut.kept_lines;
      kept = begin;
    } else {
      ++cut.removed_lines;
    }
  }
  if (kept < text.size()) file_.truncate(static_cast<std::int64_t>(kept));
  return cut;
}

}  // namespace coxswain
