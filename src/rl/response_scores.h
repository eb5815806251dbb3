// How well a reward model likes what a policy responds to fixed prompts: by this InstructGPT chose among the
// checkpoints of a fine-tuning run (Ouyang et al. 2022, appendix C.1). Collective over the world.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/process_grid.h"
#include "rl/generator.h"
#include "rl/rollout.h"
#include "train/frozen_model.h"

namespace coxswain {

class ResponseScores {
 public:
  struct Config {
    ModelConfig reward;
    GridConfig reward_grid;
    GeneratorConfig generator;
    Sampling sampling;  // the same random numbers each time, so that only the weights make a difference
    int micro = 1;      // sequences of a micro-batch of the reward model
    int length = 0;     // prompt and response at most
  };
  // The policy, the grid's world and the backend must outlive it. The reward model's weights are undefined until
  // loaded.
  ResponseScores(const Config& config, std::vector<std::vector<std::int32_t>> prompts, Model& policy,
                 Communicator& world, Backend& backend);

  void load(Archive& archive) { reward_.load(archive); }
  const std::vector<std::vector<std::int32_t>>& prompts() const { return prompts_; }
  // With the policy's present weights: the mean over the prompts, in their order.
  double mean();

 private:
  Config config_;
  std::vector<std::vector<std::int32_t>> prompts_;
  ProcessGrid reward_grid_;
  FrozenModel reward_;
  Generator generator_;
};

}  // namespace coxswain
