// What becomes of a step whose loss or gradient is not finite: the deck's [optimizer] on_nan.
#pragma once

#include <cstdint>

#include "tensor/archive.h"
#include "train/config.h"
#include "train/trainer.h"

namespace coxswain {

class SkipPolicy {
 public:
  explicit SkipPolicy(const OptimizerConfig& config) : config_(config) {}

  // Throws Error(diverged) where the run must stop.
  void see(const StepResult& result);
  std::int64_t in_a_row() const { return in_a_row_; }  // steps since the weights moved last
  void visit(Archive& archive, const std::string& phase) { archive.value(phase + "/skips_in_a_row", in_a_row_); }

 private:
  OptimizerConfig config_;
  std::int64_t in_a_row_ = 0;
};

}  // namespace coxswain
