// That the numbers of an episode belong to its response: one for each token.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <stdexcept>
#include <utility>
#include <vector>

#include "rl/rollout.h"

namespace coxswain {

// A caller's mistake, not a user's: throws std::invalid_argument.
inline void check_response(const Episode& episode,
                           std::initializer_list<std::pair<const char*, const std::vector<float>*>> numbers) {
  for (const auto& [name, values] : numbers)
    if (std::ssize(*values) != episode.response_length())
      throw std::invalid_argument(
          fmt::format("{} {} for a response of {} tokens", values->size(), name, episode.response_length()));
}

}  // namespace coxswain
