// What the program prints without a run: version, help, the deck's reference, a finished run's curve.
#pragma once

#include <optional>
#include <string>

#include "settings/command_line.h"

namespace coxswain {

// Nothing if the command line asks for a run. Throws Error(usage).
std::optional<std::string> information(const CommandLine& command);

}  // namespace coxswain
