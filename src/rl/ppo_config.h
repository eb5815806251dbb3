// Proximal policy optimization on a reward model's scores, as the deck describes it: section [ppo].
#pragma once

#include <cstdint>
#include <string>

namespace coxswain {

enum class MissingEnd { as_scored, fixed };  // the score of a response that the limit of length cut off

struct PpoConfig {
  std::string prompts;       // JSONL
  std::string reward_model;  // a checkpoint
  std::string value_model;   // a checkpoint; empty: the reward model's
  std::string reference;     // a checkpoint; empty: run.initialize_from

  int episodes = 512;       // of one rollout
  int minibatch = 64;       // episodes of one update
  int inner_epochs = 1;     // passes over a rollout
  double clip = 0.2;        // of the ratio of probabilities
  double value_clip = 0.2;  // of the change of a value; 0: none
  double value_learning_rate = 9e-6;

  double kl_coefficient = 0.02;  // beta: per-token penalty against the reference
  double kl_target = 0;          // nats a response; 0: the coefficient stays as it is
  double kl_horizon = 10000;     // episodes
  double discount = 1;           // gamma of the advantage estimator
  double gae_lambda = 0.95;
  bool whiten_rewards = false;
  bool whiten_advantages = true;
  double score_clip = 0;  // to [-c, c]; 0: none
  MissingEnd missing_end = MissingEnd::as_scored;
  double missing_end_score = -1;

  double pretrain_coefficient = 0;  // gamma of PPO-ptx; 0: no pre-training text
  int pretrain_per_episode = 8;     // sequences of it for each episode
  double average_decay = 0.992;     // of the moving average of the weights; 0: none
  bool park_models = false;         // models that are not at work wait in host memory

  void check() const;
  bool pretrains() const { return pretrain_coefficient > 0; }
  int updates_per_rollout() const { return inner_epochs * (episodes / minibatch); }

  friend bool operator==(const PpoConfig&, const PpoConfig&) = default;
};

}  // namespace coxswain
