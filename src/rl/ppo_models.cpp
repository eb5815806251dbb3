#include "rl/ppo_models.h"

#include "rl/episode_batch.h"
#include "tensor/renamed_archive.h"

namespace coxswain {

namespace {

constexpr const char* kValuePrefix = "value/";        // of the value model's names in a checkpoint
constexpr std::uint64_t kPretrainingSeed = 0x707478;  // "ptx": its dropout is not that of the episodes

// Calls a parked model, which is only looked at, and parks it again.
class AtWork {
 public:
  AtWork(Model& model, bool parks) : model_(parks ? &model : nullptr) {
    if (model_ != nullptr) model_->begin_unpark();
  }
  void arrive() {
    if (model_ != nullptr) model_->unpark();
  }
  ~AtWork() {
    constexpr bool kChanged = false;
    if (model_ != nullptr) model_->park(kChanged);
  }
  AtWork(const AtWork&) = delete;
  AtWork& operator=(const AtWork&) = delete;

 private:
  Model* model_;
};

}  // namespace

PpoModels::PpoModels(const PpoModelConfig& config, const ProcessGrid& grid, const ProcessGrid& reward_grid,
                     Backend& backend)
    : config_(config),
      policy_context_{backend, grid, config_.policy},
      value_context_{backend, reward_grid, config_.reward},
      policy_(policy_context_),
      value_(value_context_),
      policy_trainer_(policy_, config_.batch, config_.optimizer),
      value_trainer_(value_, config_.batch, config_.optimizer),
      policy_evaluator_(policy_),
      value_evaluator_(value_),
      reference_(config_.policy, grid, backend),
      reward_(config_.reward, reward_grid, backend),
      policy_loss_(config_.ppo.clip),
      value_loss_(config_.ppo.value_clip) {
  if (config_.ppo.average_decay > 0) average_.emplace(policy_, policy_trainer_.weights(), config_.ppo.average_decay);
}

void PpoModels::load_policy(Archive& archive) {
  policy_trainer_.weights().load(archive);
  if (average_) average_->restart();
}

void PpoModels::initialise() {
  policy_trainer_.weights().initialise(config_.seed);
  if (average_) average_->restart();
  reference_.initialise(config_.seed);
  reward_.initialise(config_.seed + 1);
  value_trainer_.weights().initialise(config_.seed + 1);
}

void PpoModels::park_frozen() {
  if (!config_.ppo.park_models) return;
  reference_.model().park();
  reward_.model().park();
}

void PpoModels::assess(Rollout& rollout) {
  const GlobalBatch batch = whole_rollout(rollout, config_.batch.micro, config_.batch.length);
  const int length = row_length(rollout, config_.batch.length);
  {
    AtWork reference(reference_.model(), config_.ppo.park_models);  // comes while the policy and the value model work
    take_log_probs(policy_evaluator_.outputs(batch), length, &Episode::log_probs, rollout);
    take_values(value_evaluator_.outputs(batch), length, rollout);
    reference.arrive();
    take_log_probs(reference_.outputs(batch), length, &Episode::reference_log_probs, rollout);
  }
  AtWork reward(reward_.model(), config_.ppo.park_models);
  reward.arrive();
  take_scores(reward_.outputs(batch), length, rollout);
}

GlobalBatch PpoModels::episodes(const Minibatch& minibatch, const Objective& objective, EpisodeColumns columns) const {
  GlobalBatch batch;
  batch.step = minibatch.update;
  batch.seed = config_.seed;
  batch.size = static_cast<int>(minibatch.episodes.size());
  batch.micro = config_.batch.micro;
  batch.objective = &objective;
  batch.load = [&minibatch, columns, length = row_length(*minibatch.rollout, config_.batch.length)](std::int64_t first,
                                                                                                    int count) {
    return episode_batch(*minibatch.rollout, minibatch.episodes, first, count, length, columns);
  };
  return batch;
}

StepResult PpoModels::update_policy(const Minibatch& minibatch, double rate) {
  std::vector<GlobalBatch> parts{episodes(minibatch, policy_loss_, EpisodeColumns::policy)};
  if (config_.ppo.pretrains() && minibatch.pretraining) {
    GlobalBatch text = parts.front();
    text.seed ^= kPretrainingSeed;
    text.size = parts.front().size * config_.ppo.pretrain_per_episode;
    text.objective = &language_model_loss();
    text.weight = config_.ppo.pretrain_coefficient;
    text.load = minibatch.pretraining;
    parts.push_back(std::move(text));
  }
  StepResult result = policy_trainer_.step(parts, rate);
  if (average_ && result.updated) average_->update();
  return result;
}

StepResult PpoModels::update_value(const Minibatch& minibatch, double rate) {
  return value_trainer_.step(episodes(minibatch, value_loss_, EpisodeColumns::value), rate);
}

bool PpoModels::sound() {
  const bool policy = policy_trainer_.sound(policy_evaluator_), value = value_trainer_.sound(value_evaluator_);
  return policy && value;
}

void PpoModels::visit(Archive& archive) {
  policy_trainer_.visit(archive);
  RenamedArchive value(archive, "", kValuePrefix);
  value_trainer_.visit(value);
  if (average_) average_->visit(archive);
}

}  // namespace coxswain
