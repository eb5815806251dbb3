// The four models of PPO (Ouyang et al. 2022, section 3.5) on the same ranks: the policy that is trained, the reference
// that it must stay near, the reward model, and the value model, which has the reward model's shape and begins as it.
// Policy and reference are cut by one grid, reward and value model by another. Collective over the world.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "rl/episode_batch.h"
#include "rl/objectives.h"
#include "rl/ppo_config.h"
#include "rl/rollout.h"
#include "train/frozen_model.h"
#include "train/trainer.h"
#include "train/weight_average.h"

namespace coxswain {

struct PpoModelConfig {
  ModelConfig policy, reward;
  BatchConfig batch;  // micro: sequences a micro-batch; length: prompt and response, and pre-training text
  OptimizerConfig optimizer;
  PpoConfig ppo;
  std::uint64_t seed = 1;
};

class PpoModels {
 public:
  // The grids and the backend must outlive it. Weights are undefined until loaded.
  PpoModels(const PpoModelConfig& config, const ProcessGrid& grid, const ProcessGrid& reward_grid, Backend& backend);

  void load_policy(Archive& archive);  // the average begins as the policy
  void load_reference(Archive& archive) { reference_.load(archive); }
  void load_reward_model(Archive& archive) { reward_.load(archive); }
  void load_value_model(Archive& archive) {
    value_trainer_.weights().load(archive, MasterWeights::ScalarHead::required);
  }
  void
  initialise();  // random weights, where there are no checkpoints: policy and reference, reward and value are alike
  void park_frozen();  // once reference and reward model are loaded: where [ppo] park_models wants them to wait

  Model& policy() { return policy_; }
  // What the four models say of each response: log_probs, reference_log_probs, values and score.
  void assess(Rollout& rollout);

  // A minibatch: episodes of the rollout by index, and their pre-training sequences, if any.
  struct Minibatch {
    const Rollout* rollout = nullptr;
    std::span<const std::int64_t> episodes;
    std::int64_t update = 0;                                                            // number of this one, from 1
    std::function<MicroBatch(std::int64_t first_sequence, int sequences)> pretraining;  // empty: without text
  };
  // One update of one model, which stays as it was where loss or gradient is not finite.
  StepResult update_policy(const Minibatch& minibatch, double rate);
  StepResult update_value(const Minibatch& minibatch, double rate);
  struct Update {
    StepResult policy, value;
  };
  Update update(const Minibatch& minibatch, double policy_rate, double value_rate) {
    return {update_policy(minibatch, policy_rate), update_value(minibatch, value_rate)};
  }

  bool sound();                  // see Trainer::sound: policy and value model
  void visit(Archive& archive);  // policy and value model with their optimizers, the average

 private:
  GlobalBatch episodes(const Minibatch& minibatch, const Objective& objective, EpisodeColumns columns) const;

  PpoModelConfig config_;
  ModelContext policy_context_, value_context_;
  Model policy_, value_;
  Trainer policy_trainer_, value_trainer_;
  Evaluator policy_evaluator_, value_evaluator_;
  FrozenModel reference_, reward_;
  std::optional<WeightAverage> average_;
  PolicyLoss policy_loss_;
  ValueLoss value_loss_;
};

}  // namespace coxswain
