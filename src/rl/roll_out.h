// Responses of a policy as a rollout that other models can look at.
#pragma once

#include <vector>

#include "rl/generator.h"
#include "rl/rollout.h"

namespace coxswain {

// In the order of the requests, the same on every rank. Collective over the world. The generator's cache is given back.
Rollout roll_out(Generator& generator, const std::vector<GenerationRequest>& requests, const Sampling& sampling);

}  // namespace coxswain
