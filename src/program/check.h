// --check: what a deck's run will need.
#pragma once

#include "settings/settings.h"

namespace coxswain {

// Prints memory, work and layout, from the deck alone, and which of its inputs are not there, and returns 0. A plan
// that does not fit the deck's machine is an Error(usage).
int check_deck(const Settings& settings);

}  // namespace coxswain
