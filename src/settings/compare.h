// What a restart changes: the deck of the checkpoint against the deck of today.
#pragma once

#include <string>
#include <vector>

namespace coxswain {

struct DeckDifference {
  std::vector<std::string> changed;  // "[run] steps = 100 -> 200": allowed, worth a line
  std::vector<std::string> refused;  // changes that would make another run, with what to do
  bool allowed() const { return refused.empty(); }
};

// Both texts are effective decks. A key that one of them lacks (from another version of the program) has its default.
DeckDifference compare_decks(const std::string& old_effective, const std::string& new_effective);

}  // namespace coxswain
