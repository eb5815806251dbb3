#include "train/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace coxswain {

double learning_rate(const OptimizerConfig& config, std::int64_t step, std::int64_t tokens, std::int64_t total_steps) {
  const auto peak = config.learning_rate;
  const bool by_tokens_up = config.warmup_tokens > 0;
  const auto up_now = static_cast<double>(by_tokens_up ? tokens : step);
  const auto up_end = static_cast<double>(by_tokens_up ? config.warmup_tokens : config.warmup_steps);
  if (up_now < up_end) return peak * (config.warmup_start + (1.0 - config.warmup_start) * (up_now / up_end));
  if (config.schedule == RateSchedule::constant) return peak;

  const bool by_tokens = config.decay_tokens > 0;
  const std::int64_t last_step = config.decay_steps > 0 ? config.decay_steps : total_steps;
  const auto now = static_cast<double>(by_tokens ? tokens : step);
  const auto end = static_cast<double>(by_tokens ? config.decay_tokens : last_step);
  // A warm-up counted in the other unit cannot be deducted: the decay then starts at the run's beginning.
  const double begin = by_tokens == by_tokens_up || up_end == 0 ? up_end : 0.0;
  const double progress = end > begin ? std::clamp((now - begin) / (end - begin), 0.0, 1.0) : 1.0;
  const double shape =
      config.schedule == RateSchedule::cosine ? 0.5 * (1.0 + std::cos(std::numbers::pi * progress)) : 1.0 - progress;
  return peak * (config.minimum_ratio + (1.0 - config.minimum_ratio) * shape);
}

}  // namespace coxswain
