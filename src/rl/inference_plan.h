// What phases that train nothing will need (generate, score, evaluate), found as train/plan.h finds it for training:
// the program's own work on a backend that only counts. For --check.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rl/generator.h"
#include "train/plan.h"

namespace coxswain {

struct InferenceConfig {
  ModelConfig model;
  GridConfig grid;
  int micro = 0, length = 0;                 // of texts that go through the models whole; micro = 0: none does
  std::optional<GeneratorConfig> generator;  // where there are responses
  std::optional<ModelConfig> reference, judge;
  GridConfig judge_grid;
};

// One a pipeline rank of the grid: bytes of all models and of the work at its largest, flops left out. Structs checked,
// grids without zeros and of equally many ranks.
std::vector<RankPlan> make_inference_plan(const InferenceConfig& config);

}  // namespace coxswain
