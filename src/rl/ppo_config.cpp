#include "rl/ppo_config.h"

#include <fmt/format.h>

#include "base/error.h"
#include "rl/kl_controller.h"

namespace coxswain {

void PpoConfig::check() const {
  const auto require = [](bool good, const std::string& text) {
    if (!good) throw Error(ExitCode::usage, "[ppo] " + text);
  };
  const int below = episodes / minibatch * minibatch, above = below + minibatch;
  require(episodes % minibatch == 0,
          fmt::format("episodes = {} is no multiple of [ppo] minibatch = {}; use {}", episodes, minibatch,
                      below > 0 ? fmt::format("{} or {}", below, above) : fmt::format("{}", above)));
  require(gae_lambda <= 1 && discount <= 1,
          fmt::format("gae_lambda = {} and discount = {} must be 1 or less", gae_lambda, discount));
  require(kl_target == 0 || kl_coefficient > 0,
          fmt::format("kl_target = {} adapts kl_coefficient, which is 0; give a positive kl_coefficient", kl_target));
  require(kl_target == 0 || kl_horizon > KlController::kMostError * episodes,
          fmt::format("kl_horizon = {} is so short that one rollout of [ppo] episodes = {} could bring kl_coefficient "
                      "below 0; use more than {}",
                      kl_horizon, episodes, KlController::kMostError * episodes));
}

}  // namespace coxswain
