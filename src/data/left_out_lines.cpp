#include "data/left_out_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "data/text_blocks.h"

namespace coxswain {

namespace {

std::tuple<std::int64_t, std::int64_t> order_of(const LeftOutLine& line) { return {line.file, line.place}; }

}  // namespace

void LeftOutLines::add(const std::vector<LeftOutLine>& lines) {
  for (const LeftOutLine& line : lines) {
    Reason& reason = reasons_[line.reason];
    ++reason.count;
    if (reason.first.size() < DropReport::kExamples) reason.first.push_back(line);
  }
}

std::string LeftOutLines::table() const {
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [name, reason] : reasons_) {
    nlohmann::json first = nlohmann::json::array();
    for (const LeftOutLine& line : reason.first) first.push_back({line.file, line.place, line.why});
    all.push_back({name, reason.count, first});
  }
  return all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

DropReport join(const std::vector<std::string>& tables, const TextBlocks& text) {
  std::map<std::string, LeftOutLines::Reason> reasons;
  for (const std::string& table : tables) {
    for (const nlohmann::json& row : nlohmann::json::parse(table)) {
      LeftOutLines::Reason& reason = reasons[row.at(0)];
      reason.count += row.at(1).get<std::int64_t>();
      for (const nlohmann::json& line : row.at(2))
        reason.first.push_back({line.at(0), line.at(1), row.at(0), line.at(2)});
    }
  }
  DropReport report;
  for (auto& [name, reason] : reasons) {
    std::sort(reason.first.begin(), reason.first.end(),
              [](const LeftOutLine& a, const LeftOutLine& b) { return order_of(a) < order_of(b); });
    reason.first.resize(std::min(reason.first.size(), DropReport::kExamples));
    DropReport::Entry entry{.reason = name, .count = reason.count, .examples = {}};
    for (const LeftOutLine& line : reason.first) {
      const std::string place = text.place_of(line.file, line.place);
      entry.examples.push_back(line.why.empty() ? place : fmt::format("{} ({})", place, line.why));
    }
    report.add(entry);
  }
  return report;
}

std::string left_out_text(const DropReport& report) {
  if (report.total() == 0) return {};
  return fmt::format("\n{} records left out:\n{}", report.total(), report.str());
}

}  // namespace coxswain
