// The files and folders that a deck names: what its phase reads, and what it writes. From the settings alone, so that
// what holds for all of them is said once.
#pragma once

#include <string>
#include <vector>

#include "settings/settings.h"

namespace coxswain {

struct NamedPath {
  std::string key;   // "[data] input"
  std::string path;  // of an input with the shell's wildcards as they stand
};

struct DeckFiles {
  std::vector<NamedPath> inputs;   // an entry of a list each; an empty one is a mistake of the deck
  std::vector<NamedPath> outputs;  // files outside the run directory, that take the place of what has their name
};

// Of this phase with these settings: a key that it does not look at is left out.
DeckFiles deck_files(const Settings& settings);

// Error(usage) if an output is an input or another output, by whatever names: it would replace it.
void require_apart(const DeckFiles& files);

// Inputs of which nothing is there; of a pattern, no file.
std::vector<NamedPath> missing_inputs(const DeckFiles& files);

}  // namespace coxswain
