#include "train/config.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/require.h"

namespace coxswain {

void BatchConfig::check() const {
  require(global > 0, "[batch] global", global, "must be positive");
  require(micro > 0, "[batch] micro", micro, "must be positive");
  require(length > 0, "[batch] length", length, "must be positive");
  require(ramp_start >= 0 && ramp_start <= global, "[batch] ramp_start", ramp_start,
          fmt::format("must lie between 0 (no ramp) and [batch] global = {}", global));
  require(ramp_start == 0 || ramp_tokens > 0, "[batch] ramp_tokens", ramp_tokens,
          "must be positive when [batch] ramp_start is given");
}

int BatchConfig::global_at(std::int64_t tokens, int unit) const {
  if (ramp_start == 0 || tokens >= ramp_tokens) return global;
  // Fewer than 2^31 sequences times a share of a 64-bit count: the product is formed in 128 bits, so it is exact.
  const auto growth = static_cast<__int128>(global - ramp_start) * tokens / ramp_tokens;
  const int wanted = ramp_start + static_cast<int>(growth);
  return std::max(unit, wanted / unit * unit);
}

void OptimizerConfig::check() const {
  require(learning_rate > 0.0, "[optimizer] learning_rate", learning_rate, "must be positive");
  require(minimum_ratio >= 0.0 && minimum_ratio <= 1.0, "[optimizer] minimum_ratio", minimum_ratio,
          "must lie between 0 and 1");
  require(warmup_steps == 0 || warmup_tokens == 0, "[optimizer] warmup_tokens", warmup_tokens,
          fmt::format("and [optimizer] warmup_steps = {} exclude each other; give one", warmup_steps));
  require(decay_steps == 0 || decay_tokens == 0, "[optimizer] decay_tokens", decay_tokens,
          fmt::format("and [optimizer] decay_steps = {} exclude each other; give one", decay_steps));
  require(decay_steps == 0 || decay_steps >= warmup_steps, "[optimizer] decay_steps", decay_steps,
          fmt::format("ends before the warm-up: [optimizer] warmup_steps = {}", warmup_steps));
  require(decay_tokens == 0 || decay_tokens >= warmup_tokens, "[optimizer] decay_tokens", decay_tokens,
          fmt::format("ends before the warm-up: [optimizer] warmup_tokens = {}", warmup_tokens));
  require(beta1 >= 0.0 && beta1 < 1.0, "[optimizer] beta1", beta1, "must be at least 0 and less than 1");
  require(beta2 >= 0.0 && beta2 < 1.0, "[optimizer] beta2", beta2, "must be at least 0 and less than 1");
  require(epsilon > 0.0, "[optimizer] epsilon", epsilon, "must be positive");
  require(weight_decay >= 0.0, "[optimizer] weight_decay", weight_decay, "must not be negative");
  require(clip_norm >= 0.0, "[optimizer] clip_norm", clip_norm, "must not be negative; 0 is off");
  require(max_skips >= 0, "[optimizer] max_skips", max_skips, "must not be negative");
}

}  // namespace coxswain
