// What a step trains on and how the weights move.
#pragma once

#include <cstdint>

#include "model/recompute.h"

namespace coxswain {

inline constexpr int kMostSequences = 1 << 24;  // of a step, so that no product with a unit of them overflows

struct BatchConfig {
  int global = 8;    // sequences a step, over all data shards
  int micro = 1;     // sequences a micro-batch
  int length = 256;  // tokens a sequence
  Recompute recompute = Recompute::none;
  int ramp_start = 0;            // sequences of the first step; 0: no ramp
  std::int64_t ramp_tokens = 0;  // tokens over which the batch grows linearly to `global`

  void check() const;

  // Sequences of the step that starts after `tokens` tokens, rounded down to a multiple of `unit` = data shards x micro
  // (Brown et al. 2020, appendix B: linear in tokens).
  int global_at(std::int64_t tokens, int unit) const;
  std::int64_t tokens_per_step() const { return static_cast<std::int64_t>(global) * length; }

  friend bool operator==(const BatchConfig&, const BatchConfig&) = default;
};

enum class RateSchedule { cosine, linear, constant };  // after the warm-up
enum class NanPolicy { stop, skip };                   // a step whose loss or gradient is not finite

struct OptimizerConfig {
  double learning_rate = 3e-4;    // peak
  double minimum_ratio = 0.1;     // floor of the schedule, as a share of the peak
  std::int64_t warmup_steps = 0;  // linear; in steps or in tokens, not both
  std::int64_t warmup_tokens = 0;
  double warmup_start = 0;       // where the warm-up begins, as a share of the peak
  std::int64_t decay_steps = 0;  // end of the decay, counted from the start; both 0: run.steps
  std::int64_t decay_tokens = 0;
  RateSchedule schedule = RateSchedule::cosine;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;  // decoupled; matrices and embeddings only, never norms and biases
  double clip_norm = 1.0;     // of the global gradient; 0: off
  NanPolicy on_nan = NanPolicy::stop;
  int max_skips = 10;  // skipped steps in a row after which the run stops

  void check() const;

  friend bool operator==(const OptimizerConfig&, const OptimizerConfig&) = default;
};

}  // namespace coxswain
