// The phase that the deck names, ready to run: built, and with its first weights where the deck gives them.
#pragma once

#include <memory>

#include "base/log.h"
#include "phases/phase.h"
#include "rl/ppo_models.h"
#include "settings/settings.h"

namespace coxswain {

PpoModelConfig ppo_model_config(const Settings& settings);

std::unique_ptr<Phase> make_phase(const Settings& settings, const ProcessGrid& grid, Backend& backend, Log& log);

}  // namespace coxswain
