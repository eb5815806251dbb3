// Phase benchmark of a PPO deck (run.benchmark = ppo): where the time of a rollout and its updates goes, with random
// weights and prompts of random tokens, every response of max_new_tokens. Each part stands beside its floor: for every
// operation the longer of its arithmetic at the GEMM rate and its traffic at copy bandwidth, measured in the same run.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "phases/phase.h"
#include "rl/generator.h"
#include "rl/ppo_models.h"

namespace coxswain {

struct PpoBenchmarkConfig {
  PpoModelConfig models;
  GridConfig reward_grid;
  int slots = 32, new_tokens = 1;
  std::int64_t rollouts = 1;  // a step of the run each; the first settles pools and is left out if there are more
};

class PpoBenchmark final : public Phase {
 public:
  PpoBenchmark(const PpoBenchmarkConfig& config, const ProcessGrid& grid, Backend& backend);

  std::string name() const override { return "benchmark"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override { return config_.rollouts; }
  StepReport run_step() override;
  bool has_state() const override { return false; }
  void visit(Archive&) override {}
  void finish() override;
  std::string summary() const override { return table_; }

  double cache_bytes_read();  // of a rollout on this rank

 private:
  struct Part {
    double seconds = 0;
    std::map<std::string, OperationCost> costs;
  };
  void measure(const std::string& name, const std::function<void()>& work);
  std::vector<GenerationRequest> requests() const;
  void update();

  PpoBenchmarkConfig config_;
  const ProcessGrid& grid_;
  Backend& backend_;
  ProcessGrid reward_grid_;
  PpoModels models_;
  Generator generator_;
  Rollout rollout_;
  std::int64_t step_ = 0, counted_ = 0;
  std::vector<std::pair<std::string, Part>> parts_;  // in the order of a step
  std::string table_;
};

}  // namespace coxswain
