// Phase ppo: proximal policy optimization against a reward model, with or without pre-training text (Ouyang et al.
// 2022, section 3.5 and appendix C.4). A step is one minibatch's update of policy and value model; a rollout is made
// where the last one is used up. So a run can be saved after any minibatch, and goes on in the middle of a rollout.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/batch_source.h"
#include "data/prompts.h"
#include "data/tokenizer.h"
#include "data/tokenizer_identity.h"
#include "phases/config.h"
#include "phases/load_checkpoint.h"
#include "phases/phase.h"
#include "rl/generator.h"
#include "rl/kl_controller.h"
#include "rl/ppo_models.h"
#include "rl/reward_shaping.h"
#include "rl/rollout_state.h"
#include "train/skip_policy.h"

namespace coxswain {

struct PpoPhaseConfig {
  RunConfig run;
  PpoModelConfig models;
  GridConfig reward_grid;  // of reward and value model
  DataConfig data;
  ChatConfig chat;
  GenerateConfig generate;
};

class Ppo final : public Phase {
 public:
  // Weights are undefined until load_frozen(), and begin() or a checkpoint, give them. The grid, the backend and the
  // log must outlive it.
  Ppo(const PpoPhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log);

  std::string name() const override { return "ppo"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override { return config_.run.steps; }
  void load_frozen() override;  // reference and reward model
  void begin() override;        // policy and value model
  StepReport run_step() override;
  std::int64_t skipped_in_a_row() const override { return std::max(policy_skips_.in_a_row(), value_skips_.in_a_row()); }
  bool sound() override { return models_.sound(); }
  void visit(Archive& archive) override;
  std::vector<std::string> describe() const;  // what it learns from, for the log

 private:
  const PpoConfig& ppo() const { return config_.models.ppo; }
  using Load = void (PpoModels::*)(Archive&);
  std::string load(const ModelSource& source, Load which);  // what tells the model from others
  void make_rollout(std::int64_t number);                   // from 0
  std::vector<GenerationRequest> requests(std::int64_t rollout) const;
  std::vector<std::int64_t> minibatch(std::int64_t rollout, std::int64_t update) const;  // episodes, in their order
  std::int64_t tokens_of(const std::vector<std::int64_t>& episodes) const;
  void note(const PpoModels::Update& update, double rate, StepReport& report) const;

  PpoPhaseConfig config_;
  LoadContext context_;
  ProcessGrid reward_grid_;
  PpoModels models_;
  std::string reference_state_, reward_state_;  // tell the frozen models from others
  std::unique_ptr<Tokenizer> tokenizer_;
  ChatFormat chat_;
  Prompts prompts_;
  Generator generator_;
  KlController kl_;
  std::optional<BatchSource> text_;  // pre-training text
  RolloutState rollout_state_;
  SkipPolicy policy_skips_, value_skips_;
  Rollout rollout_;                     // at work
  KlEstimates divergence_;              // of its responses, from the reference
  std::int64_t step_ = 0, tokens_ = 0;  // updates; tokens that they have learned from
};

}  // namespace coxswain
