#include "settings/phase_table.h"

#include <algorithm>
#include <stdexcept>

namespace coxswain {

const std::vector<PhaseRow>& phase_table() {
  static const std::vector<PhaseRow> rows = {
      {.name = "pretrain", .global_batch = true},
      {.name = "tokenize", .model = false},
      {.name = "prepare", .model = false, .sections = {"prepare"}},
      {.name = "generate"},
      {.name = "benchmark", .global_batch = true, .reward_model = true, .sections = {"ppo"}},
      {.name = "sft", .global_batch = true, .reward_model = true, .sections = {"sft"}},
      {.name = "reward", .scores = true, .global_batch = true, .sections = {"reward"}},
      {.name = "score", .scores = true, .sections = {"score"}},
      {.name = "ppo", .reward_model = true, .sections = {"ppo"}},
      {.name = "evaluate", .reward_model = true, .sections = {"evaluate"}},
      {.name = "vocabulary", .model = false},
  };
  return rows;
}

const PhaseRow& phase_row(const std::string& name) {
  for (const PhaseRow& row : phase_table())
    if (row.name == name) return row;
  throw std::logic_error("no phase " + name);
}

bool has_use_for(const std::string& section, const std::string& phase) {
  const auto reads = [&](const PhaseRow& row) {
    if (section.starts_with("reward_")) return row.reward_model;
    return std::find(row.sections.begin(), row.sections.end(), section) != row.sections.end();
  };
  const std::vector<PhaseRow>& rows = phase_table();
  return reads(phase_row(phase)) || std::none_of(rows.begin(), rows.end(), reads);
}

}  // namespace coxswain
