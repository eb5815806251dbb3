// The deck's reference, in three forms that all come from the table of keys.
#pragma once

#include <string>

#include "settings/settings.h"

namespace coxswain {

// For the terminal; section empty: all of them. Throws Error(usage) if there is no such section.
std::string help_deck(const std::string& section = "");
std::string help_deck_markdown(const std::string& section = "");

// A deck with every key: the run's deck.ini. Reading it gives the same settings.
std::string effective_deck(const Settings& settings);

}  // namespace coxswain
