#include "io/run_history.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

namespace coxswain {

namespace {

using Json = nlohmann::ordered_json;

template <typename Use>
void each_line(const std::filesystem::path& path, const Use& use) {
  std::istringstream text(read_text_file(path));
  for (std::string line; std::getline(text, line);) {
    const Json object = Json::parse(line, nullptr, false);
    if (object.is_object() && object.contains("step") && object["step"].is_number_integer()) use(object);
  }
}

double number(const Json& value) {
  return value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void RunHistory::add_metrics(std::int64_t step, std::int64_t tokens, const NamedValues& metrics) {
  step_ = step;
  tokens_ = tokens;
  for (const auto& [name, value] : metrics) {
    auto series = metrics_.begin();
    while (series != metrics_.end() && series->name != name) ++series;
    if (series == metrics_.end()) series = metrics_.insert(series, Series{.name = name, .steps = {}, .values = {}});
    series->steps.push_back(static_cast<double>(step));
    series->values.push_back(value);
  }
}

void RunHistory::add_timing(const StepTiming& timing) {
  seconds_ += timing.seconds;
  tokens_per_second_.steps.push_back(static_cast<double>(timing.step));
  tokens_per_second_.values.push_back(timing.tokens_per_second);
  if (timing.gemm_share >= 0) {
    gemm_share_.steps.push_back(static_cast<double>(timing.step));
    gemm_share_.values.push_back(timing.gemm_share);
  }
  if (!timing.session.empty()) sessions_.push_back({timing.step, timing.session});
}

const Series* RunHistory::find(const std::string& name) const {
  for (const Series& series : metrics_) {
    if (series.name == name) return &series;
  }
  return nullptr;
}

RunHistory read_run_history(const std::filesystem::path& directory) {
  RunHistory history;
  each_line(directory / "metrics.jsonl", [&](const Json& object) {
    NamedValues metrics;
    for (const auto& [name, value] : object.items()) {
      if (name != "step" && name != "tokens") metrics.emplace_back(name, number(value));
    }
    const auto tokens = object.contains("tokens") ? object["tokens"] : Json(0);
    history.add_metrics(object["step"], tokens.is_number_integer() ? tokens.get<std::int64_t>() : 0, metrics);
  });
  each_line(directory / "timing.jsonl", [&](const Json& object) {
    StepTiming timing;
    timing.step = object["step"];
    if (object.contains("seconds")) timing.seconds = number(object["seconds"]);
    if (object.contains("tokens_per_second")) timing.tokens_per_second = number(object["tokens_per_second"]);
    if (object.contains("gemm_share")) timing.gemm_share = number(object["gemm_share"]);
    if (object.contains("session") && object["session"].is_string()) timing.session = object["session"];
    history.add_timing(timing);
  });
  return history;
}

}  // namespace coxswain
