// The table of phases: what a deck of each is checked for and which sections it shows.
#include "settings/phase_table.h"

#include <gtest/gtest.h>

#include "settings/key_table.h"

namespace coxswain {
namespace {

TEST(PhaseTable, EverySectionIsADecks) {
  for (const PhaseRow& row : phase_table())
    for (const std::string& section : row.sections) {
      bool known = false;
      for (const Section& each : deck_sections()) known |= section == each.name;
      EXPECT_TRUE(known) << row.name << " reads [" << section << "], which no deck has";
    }
}

TEST(PhaseTable, APhaseShowsItsOwnSectionsAndCommonOnes) {
  for (const PhaseRow& row : phase_table()) EXPECT_TRUE(has_use_for("run", row.name)) << row.name;
  EXPECT_TRUE(has_use_for("ppo", "ppo"));
  EXPECT_TRUE(has_use_for("ppo", "benchmark"));
  EXPECT_FALSE(has_use_for("ppo", "sft"));
  EXPECT_TRUE(has_use_for("reward_model", "evaluate"));
  EXPECT_FALSE(has_use_for("reward_grid", "reward"));  // its own model is [model]
  EXPECT_THROW(phase_row("prettrain"), std::logic_error);
}

}  // namespace
}  // namespace coxswain
