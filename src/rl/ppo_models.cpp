#include "rl/ppo_models.h"

#include <algorithm>
#include <numeric>

#include "rl/episode_batch.h"
#include "tensor/prefixed_archive.h"

namespace coxswain {

namespace {

constexpr const char* kValuePrefix = "value/";        // of the value model's names in a checkpoint
constexpr std::uint64_t kPretrainingSeed = 0x707478;  // "ptx": its dropout is not that of the episodes

// Takes a parked model to work, and parks it again.
class AtWork {
 public:
  AtWork(Model& model, bool parks) : model_(parks ? &model : nullptr) {
    if (model_ != nullptr) model_->unpark();
  }
  ~AtWork() {
    if (model_ != nullptr) model_->park();
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

void PpoModels::initialise() {
  policy_trainer_.weights().initialise(config_.seed);
  reference_.initialise(config_.seed);
  reward_.initialise(config_.seed + 1);
  value_trainer_.weights().initialise(config_.seed + 1);
}

void PpoModels::begin() {
  if (average_) average_->restart();
  if (!config_.ppo.park_models) return;
  reference_.model().park();
  reward_.model().park();
}

// The shortest length that holds all episodes, in steps of 16 tokens: the same on every rank and grid.
int PpoModels::length_of(const Rollout& rollout) const {
  constexpr std::size_t kUnit = 16;
  std::size_t longest = 1;
  for (const Episode& episode : rollout.episodes) longest = std::max(longest, episode.tokens.size());
  const auto rounded = static_cast<int>((longest + kUnit - 1) / kUnit * kUnit);
  return std::min(rounded, config_.batch.length);
}

GlobalBatch PpoModels::all_episodes(const Rollout& rollout) const {
  GlobalBatch batch;
  batch.size = static_cast<int>(rollout.episodes.size());
  batch.micro = config_.batch.micro;
  std::vector<std::int64_t> in_order(rollout.episodes.size());
  std::iota(in_order.begin(), in_order.end(), 0);
  batch.load = [&rollout, order = std::move(in_order), length = length_of(rollout)](std::int64_t first, int count) {
    return episode_batch(rollout, order, first, count, length, EpisodeColumns::none);
  };
  return batch;
}

void PpoModels::assess(Rollout& rollout) {
  const GlobalBatch batch = all_episodes(rollout);
  const auto length = static_cast<std::size_t>(length_of(rollout));
  const std::vector<float> now = policy_evaluator_.outputs(batch);
  const std::vector<float> values = value_evaluator_.outputs(batch);
  std::vector<float> reference, scores;
  {
    const AtWork at_work(reference_.model(), config_.ppo.park_models);
    reference = reference_.outputs(batch);
  }
  {
    const AtWork at_work(reward_.model(), config_.ppo.park_models);
    scores = reward_.outputs(batch);
  }
  for (std::size_t i = 0; i < rollout.episodes.size(); ++i) {
    Episode& episode = rollout.episodes[i];
    const auto row = [&](const std::vector<float>& all) { return std::span(all).subspan(i * length, length); };
    episode.log_probs = response_outputs(episode, row(now), 1);
    episode.reference_log_probs = response_outputs(episode, row(reference), 1);
    for (float& value : episode.log_probs) value = -value;  // a head gives -log p
    for (float& value : episode.reference_log_probs) value = -value;
    episode.values = response_outputs(episode, row(values), 1);
    episode.score = row(scores)[episode.tokens.size() - 1];
  }
}

GlobalBatch PpoModels::episodes(const Minibatch& minibatch, const Objective& objective, EpisodeColumns columns) const {
  GlobalBatch batch;
  batch.step = minibatch.update;
  batch.seed = config_.seed;
  batch.size = static_cast<int>(minibatch.episodes.size());
  batch.micro = config_.batch.micro;
  batch.objective = &objective;
  batch.load = [&minibatch, columns, length = length_of(*minibatch.rollout)](std::int64_t first, int count) {
    return episode_batch(*minibatch.rollout, minibatch.episodes, first, count, length, columns);
  };
  return batch;
}

StepResult PpoModels::update_policy(const Minibatch& minibatch, double rate) {
  std::vector<GlobalBatch> parts{episodes(minibatch, policy_loss_, EpisodeColumns::policy)};
  if (config_.ppo.pretrains()) {
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

void PpoModels::visit(Archive& archive) {
  policy_trainer_.visit(archive);
  PrefixedArchive value(archive, kValuePrefix);
  value_trainer_.visit(value);
  if (average_) average_->visit(archive);
}

}  // namespace coxswain
