// The steps of main: from a command line to an exit code.
#pragma once

#include <memory>
#include <string>

#include "base/log.h"
#include "kernels/backend.h"
#include "phases/phase.h"
#include "settings/settings.h"

namespace coxswain {

// Rank 0 reads the deck and hands its text round, so that all ranks see the same one. Collective.
Settings read_settings_together(const CommandLine& command, Communicator& world);

// Owns the run directory, then lets the driver run the phase that the deck names. Returns the exit code. Collective.
int run_deck(const Settings& settings, const ProcessGrid& grid, Backend& backend);

}  // namespace coxswain
