// The plan of a run as --check prints it: parameters, work, memory a rank by kind, layout of stages and shards.
#pragma once

#include <string>
#include <vector>

#include "rl/inference_plan.h"
#include "rl/ppo_plan.h"
#include "train/plan.h"

namespace coxswain {

// program_bytes: what the program and its libraries hold before any tensor, a rank. background_saves: a copy of what is
// saved lies in the host's memory.
std::string plan_text(const Plan& plan, const ModelConfig& model, const BatchConfig& batch, const GridConfig& grid,
                      std::size_t program_bytes, bool background_saves);

// The same for a phase that trains nothing.
std::string inference_plan_text(const std::vector<RankPlan>& ranks, const InferenceConfig& config,
                                std::size_t program_bytes);

// The same for PPO: the largest rank's memory by model and kind, and at the peak of each part of a step.
std::string ppo_plan_text(const PpoPlan& plan, const PpoModelConfig& config, const GridConfig& grid,
                          const GridConfig& reward_grid, std::size_t program_bytes, bool background_saves);

std::string byte_text(double bytes);  // 512 B, 3.4 KiB, 1.2 GiB

}  // namespace coxswain
