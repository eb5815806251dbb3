// What each phase is, once. One more phase: a row here, a class in phases/ and its case in program/make_phase.
#pragma once

#include <string>
#include <vector>

namespace coxswain {

struct PhaseRow {
  std::string name;
  bool model = true;                       // trains or runs one: [model], [grid] and [batch] must fit together
  bool scores = false;                     // which is a reward model
  bool global_batch = false;               // a step is one, cut into data shards
  bool reward_model = false;               // looks at a reward model beside its own
  std::vector<std::string> sections = {};  // that it reads and not every phase does, those of the reward model apart
};

const std::vector<PhaseRow>& phase_table();
// The name must stand in the table, as every value of [run] phase does.
const PhaseRow& phase_row(const std::string& name);

// Whether the phase reads the section; the effective deck leaves the others out.
bool has_use_for(const std::string& section, const std::string& phase);

}  // namespace coxswain
