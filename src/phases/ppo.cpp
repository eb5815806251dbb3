#include "phases/ppo.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/random.h"
#include "data/unchanged.h"
#include "phases/policy_sampling.h"
#include "rl/advantages.h"
#include "rl/roll_out.h"
#include "train/learning_rate.h"

namespace coxswain {

namespace {

// Streams of Philox numbers, apart from those of weights, dropout, text and sampling.
constexpr std::uint64_t kPromptStream = 0x9901ull << 48;     // + epoch
constexpr std::uint64_t kMinibatchStream = 0x9902ull << 48;  // + rollout and pass

int longest_prompt(const PpoPhaseConfig& config) { return config.models.batch.length - config.generate.max_new_tokens; }

Prompts prompts_of(const PpoPhaseConfig& config, const ChatFormat& chat, Communicator& world, Log& log) {
  const RecordFiles files{config.models.ppo.prompts, "[ppo] prompts", config.data.on_bad_line};
  return read_prompts({files, chat, world, log, longest_prompt(config)});
}

std::optional<BatchSource> text_of(const PpoPhaseConfig& config, const Tokenizer& tokenizer) {
  if (!config.models.ppo.pretrains()) return std::nullopt;
  BatchSource text(config.data, {config.models.batch.length, config.models.policy.vocabulary, config.run.seed});
  require_same_tokens({"[data] source", config.data.source, text.tokenizer_hash()}, tokenizer.hash(),
                      fmt::format("[data] tokenizer = {}, which reads the prompts", tokenizer.name()));
  return text;
}

}  // namespace

Ppo::Ppo(const PpoPhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log)
    : config_(config),
      context_{grid.world(), backend, log},
      reward_grid_(grid.world(), config.reward_grid),
      models_(config.models, grid, reward_grid_, backend),
      tokenizer_(make_tokenizer(config.data)),
      chat_(config.chat, *tokenizer_),
      prompts_(prompts_of(config, chat_, grid.world(), log)),
      generator_(models_.policy(), {.slots = config.generate.slots, .context = config.models.batch.length}),
      kl_(ppo().kl_coefficient, ppo().kl_target, ppo().kl_horizon),
      text_(text_of(config, *tokenizer_)),
      rollout_state_(backend, grid.world(), ppo().episodes, config.models.batch.length),
      policy_skips_(config.models.optimizer),
      value_skips_(config.models.optimizer) {}

void Ppo::load_frozen() {
  ModelSource reference = initial_weights(config_.run, HeadKind::language, "reference");
  if (!ppo().reference.empty()) reference = {ppo().reference, "[ppo] reference", "reference", HeadKind::language};
  reference_state_ = load(reference, &PpoModels::load_reference);
  reward_state_ =
      load({ppo().reward_model, "[ppo] reward_model", "reward model", HeadKind::scalar}, &PpoModels::load_reward_model);
  models_.park_frozen();
}

void Ppo::begin() {
  load(initial_weights(config_.run, HeadKind::language, "policy"), &PpoModels::load_policy);
  const std::string& value = ppo().value_model.empty() ? ppo().reward_model : ppo().value_model;
  load({value, "[ppo] value_model", "value model", HeadKind::scalar}, &PpoModels::load_value_model);
}

// All of them learned the tokens of the prompts' tokenizer.
std::string Ppo::load(const ModelSource& source, Load which) {
  return load_model(source, context_, [&](Archive& archive) {
    visit_tokenizer(archive, {tokenizer_->name(), tokenizer_->hash()}, named(source));
    (models_.*which)(archive);
  });
}

StepReport Ppo::run_step() {
  const int updates = ppo().updates_per_rollout();
  const std::int64_t rollout = step_ / updates, update = step_ % updates;
  StepReport report;
  if (update == 0) make_rollout(rollout);
  const double rate = learning_rate(config_.models.optimizer, step_ + 1, tokens_, config_.run.steps);
  const double value_rate = rate / config_.models.optimizer.learning_rate * ppo().value_learning_rate;
  const std::vector<std::int64_t> order = minibatch(rollout, update);
  report.tokens = tokens_of(order);
  const PpoModels::Update result = models_.update(
      {&rollout_, order, step_ + 1,
       [this](std::int64_t first, int count) { return text_->micro_batch(text_->consumed() + first, count); }},
      rate, value_rate);
  policy_skips_.see(result.policy);
  value_skips_.see(result.value);
  if (text_) text_->advance(std::int64_t{ppo().minibatch} * ppo().pretrain_per_episode);
  ++step_;
  tokens_ += report.tokens;
  note(result, rate, report);
  if (update == updates - 1) kl_.update(divergence_.k1, std::ssize(rollout_.episodes));
  return report;
}

// One reads the paper here: respond, look, shape, estimate, whiten.
void Ppo::make_rollout(std::int64_t number) {
  Sampling sampling = policy_sampling(config_.generate, config_.run.seed, chat_, *tokenizer_);
  sampling.step = number;
  rollout_ = roll_out(generator_, requests(number), sampling);
  models_.assess(rollout_);

  RewardShaping shaping;
  shaping.score_clip = ppo().score_clip;
  if (ppo().missing_end == MissingEnd::fixed) shaping.missing_end_score = ppo().missing_end_score;
  shape_rewards(rollout_, kl_.coefficient(), shaping);
  if (ppo().whiten_rewards) whiten(rollout_, &Episode::rewards, WhitenedMean::kept);
  estimate_advantages(rollout_, ppo().discount, ppo().gae_lambda);
  if (ppo().whiten_advantages) whiten(rollout_, &Episode::advantages, WhitenedMean::zero);
  divergence_ = mean_divergence_by_response(rollout_);
}

// Prompts without replacement, in another random order each time round; sample: which time round.
std::vector<GenerationRequest> Ppo::requests(std::int64_t rollout) const {
  const std::int64_t count = std::ssize(prompts_.records);
  std::vector<GenerationRequest> asked;
  for (std::int64_t i = rollout * ppo().episodes; i < (rollout + 1) * ppo().episodes; ++i) {
    const std::int64_t epoch = i / count;
    const Permutation order({config_.run.seed, kPromptStream + static_cast<std::uint64_t>(epoch)},
                            static_cast<std::uint64_t>(count));
    const auto prompt = static_cast<std::int64_t>(order(static_cast<std::uint64_t>(i % count)));
    asked.push_back({prompts_.records[static_cast<std::size_t>(prompt)].tokens, prompt, epoch});
  }
  return asked;
}

std::vector<std::int64_t> Ppo::minibatch(std::int64_t rollout, std::int64_t update) const {
  const std::int64_t in_pass = ppo().episodes / ppo().minibatch;
  const std::int64_t pass = rollout * ppo().inner_epochs + update / in_pass;
  const Permutation order({config_.run.seed, kMinibatchStream + static_cast<std::uint64_t>(pass)},
                          static_cast<std::uint64_t>(ppo().episodes));
  std::vector<std::int64_t> episodes;
  for (int i = 0; i < ppo().minibatch; ++i) {
    const std::int64_t place = update % in_pass * ppo().minibatch + i;
    episodes.push_back(static_cast<std::int64_t>(order(static_cast<std::uint64_t>(place))));
  }
  return episodes;
}

// What an update learns from, its pre-training text included.
std::int64_t Ppo::tokens_of(const std::vector<std::int64_t>& episodes) const {
  std::int64_t tokens = 0;
  for (const std::int64_t episode : episodes)
    tokens += std::ssize(rollout_.episodes[static_cast<std::size_t>(episode)].tokens);
  if (text_) tokens += std::ssize(episodes) * ppo().pretrain_per_episode * config_.models.batch.length;
  return tokens;
}

// The first four are the console's columns, the first of all the report's large curve.
void Ppo::note(const PpoModels::Update& update, double rate, StepReport& report) const {
  double score = 0, length = 0, ended = 0;
  for (const Episode& episode : rollout_.episodes) {
    score += static_cast<double>(episode.score);
    length += episode.response_length();
    ended += episode.ended ? 1 : 0;
  }
  const auto count = static_cast<double>(rollout_.episodes.size());
  const std::vector<double>& policy = update.policy.terms[0];
  const std::vector<double>& value = update.value.terms[0];
  const auto add = [&](const char* name, double number) { report.metrics.emplace_back(name, number); };
  add("reward", score / count);
  add("kl", divergence_.k1);
  add("policy_loss", policy[PolicyLoss::kLoss]);
  add("value_loss", value[ValueLoss::kLoss]);
  if (text_) add("pretrain_loss", update.policy.terms[1][0]);
  add("clip_fraction", policy[PolicyLoss::kClipFraction]);
  add("kl_k2", divergence_.k2);
  add("kl_k3", divergence_.k3);
  add("kl_coefficient", kl_.coefficient());
  add("response_tokens", length / count);
  add("ended", ended / count);
  add("approximate_kl", policy[PolicyLoss::kApproximateKl]);
  add("entropy", policy[PolicyLoss::kEntropy]);
  add("learning_rate", rate);
  add("gradient_norm", update.policy.gradient_norm);
  add("value_gradient_norm", update.value.gradient_norm);
  if (!update.policy.updated || !update.value.updated) report.note = "not finite: update skipped";
}

void Ppo::visit(Archive& archive) {
  archive.value("ppo/step", step_);
  archive.value("ppo/tokens", tokens_);
  archive.value("ppo/divergence", divergence_.k1);
  archive.value("ppo/divergence_k2", divergence_.k2);
  archive.value("ppo/divergence_k3", divergence_.k3);
  visit_tokenizer(archive, {tokenizer_->name(), tokenizer_->hash()});
  check_unchanged(archive, "ppo/prompts", content_hash(prompts_.records),
                  fmt::format("[ppo] prompts ({}) of contents", ppo().prompts));
  check_unchanged(archive, "ppo/reference", reference_state_,
                  fmt::format("[ppo] reference ({}) of state",
                              ppo().reference.empty() ? config_.run.initialize_from : ppo().reference));
  check_unchanged(archive, "ppo/reward_model", reward_state_,
                  fmt::format("[ppo] reward_model ({}) of state", ppo().reward_model));
  kl_.visit(archive);
  policy_skips_.visit(archive, "policy");
  value_skips_.visit(archive, "value");
  if (text_) text_->visit(archive);
  rollout_state_.visit(archive, rollout_);
  models_.visit(archive);
}

std::vector<std::string> Ppo::describe() const {
  std::vector<std::string> lines{fmt::format("{}: {} prompts", ppo().prompts, prompts_.records.size())};
  if (text_)
    for (const std::string& line : text_->describe()) lines.push_back("pre-training text: " + line);
  return lines;
}

}  // namespace coxswain
