#include "phases/config.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/require.h"

namespace coxswain {

void RunConfig::check() const {
  require(!directory.empty(), "[run] directory", directory, "must name a folder");
  require(steps >= 0, "[run] steps", steps, "must not be negative");
  require(wall_limit_minutes >= 0.0, "[run] wall_limit_minutes", wall_limit_minutes,
          "must not be negative; 0: no limit");
  require(validate_every >= 0, "[run] validate_every", validate_every, "must not be negative; 0: never");
  require(validation_batches > 0, "[run] validation_batches", validation_batches, "must be positive");
  require(log_every > 0, "[run] log_every", log_every, "must be positive");
}

int GenerateConfig::busy_slots(int data_ranks) const {
  if (!prompts.empty()) return slots;
  const std::int64_t responses = std::int64_t{std::max(1, synthetic_prompts)} * samples;
  return static_cast<int>(std::min<std::int64_t>(slots, (responses + data_ranks - 1) / data_ranks));
}

void GenerateConfig::check() const {
  require(prompt.empty() || prompts.empty(), "[generate] prompts", prompts,
          "and [generate] prompt exclude each other; give one");
  require(min_new_tokens <= max_new_tokens, "[generate] min_new_tokens", min_new_tokens,
          fmt::format("is more than [generate] max_new_tokens = {}", max_new_tokens));
  require(max_new_tokens > 0, "[generate] max_new_tokens", max_new_tokens, "must be positive");
  require(temperature >= 0.0, "[generate] temperature", temperature, "must not be negative; 0: the likeliest token");
}

}  // namespace coxswain
