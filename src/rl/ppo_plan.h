// What a rank needs for PPO, found as train/plan.h finds it for pre-training: the program's own work on a backend that
// only counts. By model and kind, and the peak of each part of a step. For --check.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "rl/ppo_models.h"

namespace coxswain {

struct PpoPlan {
  struct OfModel {
    std::string name;
    std::int64_t parameters = 0;
    std::array<std::size_t, kMemoryKinds> bytes{};  // while no part is at work
    bool parked = false;                            // in host memory while no part is at work
  };
  struct OfPart {
    std::string name;
    std::size_t resident = 0;  // weights, gradients and optimizers on the device
    std::size_t working = 0;   // beside them at the peak: activations, communication, caches
    std::size_t total() const { return resident + working; }
  };
  struct Rank {
    int rank = 0;
    std::vector<OfModel> models;
    std::vector<OfPart> parts;
    std::size_t peak() const;
  };
  std::vector<Rank> ranks;  // the first of every stage of the policy's pipeline
  const Rank& largest() const;
};

// Structs checked, grids without zeros and of equally many ranks. slots and max_new_tokens as in [generate].
PpoPlan make_ppo_plan(const PpoModelConfig& config, const GridConfig& grid, const GridConfig& reward_grid, int slots);

}  // namespace coxswain
