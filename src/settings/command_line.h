// coxswain DECK [--section.key=value ...] [--check] [--version] [--help-deck [SECTION]] [--plot RUN_DIRECTORY]
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace coxswain {

using Overrides = std::vector<std::pair<std::string, std::string>>;  // "section.key", value

struct CommandLine {
  std::string deck;  // path; empty only if one of the last four is asked for
  Overrides overrides;
  bool check = false;  // validate, print the plan, stop
  bool version = false;
  bool help = false;
  bool help_deck = false;
  bool markdown = false;  // --help-deck as the README's tables
  std::string section;    // of --help-deck; empty: all
  std::string plot;       // a run directory whose loss curve is wanted
};

// Throws Error(usage).
CommandLine parse_command_line(int argc, const char* const* argv);

std::string usage_text();

}  // namespace coxswain
