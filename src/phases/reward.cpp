#include "phases/reward.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "data/demonstrations.h"
#include "data/tokenizer_identity.h"
#include "data/unchanged.h"
#include "io/append_file.h"
#include "model/scalar_head.h"
#include "phases/load_checkpoint.h"
#include "train/learning_rate.h"

namespace coxswain {

namespace {

constexpr std::uint64_t kShuffleStream = 0xda03ull << 48;  // + epoch; beside those of data/batch_source.cpp

std::int64_t steps_of(const RewardPhaseConfig& config, std::int64_t comparisons) {
  if (config.run.steps > 0) return config.run.steps;
  return (config.reward.epochs * comparisons + config.batch.global - 1) / config.batch.global;
}

std::int64_t tokens_of(std::span<const Comparison> comparisons, std::span<const std::int64_t> order) {
  std::size_t tokens = 0;
  for (const std::int64_t place : order) {
    const Comparison& comparison = comparisons[static_cast<std::size_t>(place)];
    for (const TokenSequence& response : comparison.responses) tokens += comparison.prompt.size() + response.size();
  }
  return static_cast<std::int64_t>(tokens);
}

}  // namespace

Reward::Reward(const RewardPhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log)
    : config_(config),
      log_(log),
      context_{backend, grid, config_.model},
      tokenizer_(make_tokenizer(config_.data)),
      chat_(config_.chat, *tokenizer_),
      comparisons_(read(config_.reward.comparisons, "[reward] comparisons")),
      held_out_(read(config_.reward.validation, "[reward] validation")),
      reference_(read_reference()),
      total_steps_(steps_of(config_, std::ssize(comparisons_))),
      objective_(config_.reward.loss, config_.reward.responses),
      model_(context_),
      trainer_(model_, config_.batch, config_.optimizer),
      evaluator_(model_),
      skips_(config_.optimizer) {
  check_vocabulary(*tokenizer_, config_.model.vocabulary);
}

void Reward::begin() {
  trainer_.weights().initialise(config_.run.seed);  // the head too, which a language model has not
  if (config_.run.initialize_from.empty())
    return log_.warning("[run] initialize_from is empty: the reward model begins with random weights");
  load_model(initial_weights(config_.run, std::nullopt), {context_.grid.world(), context_.backend, log_},
             [this](Archive& archive) {
               visit_tokenizer(archive, {tokenizer_->name(), tokenizer_->hash()});
               trainer_.weights().load(archive);
             });
}

std::vector<Comparison> Reward::read(const std::string& paths, const char* key) const {
  if (paths.empty()) return {};
  const RecordFiles files{.paths = paths, .key = key, .on_bad_line = config_.data.on_bad_line};
  Comparisons read = read_comparisons({files, chat_, context_.grid.world(), log_, config_.batch.length});
  std::size_t most = 0;
  for (const Comparison& comparison : read.records) most = std::max(most, comparison.responses.size());
  if (most > static_cast<std::size_t>(config_.reward.responses))
    throw Error(ExitCode::data, fmt::format("{} = {} has a comparison of {} responses, and [reward] responses = {} is "
                                            "the most of a prompt; use {}",
                                            key, paths, most, config_.reward.responses, most));
  return std::move(read.records);
}

std::vector<TokenSequence> Reward::read_reference() const {
  if (config_.reward.normalise == Normalise::none) return {};
  const RecordFiles files{
      .paths = config_.reward.reference, .key = "[reward] reference", .on_bad_line = config_.data.on_bad_line};
  std::vector<TokenSequence> sequences;
  for (Demonstration& demonstration :
       read_demonstrations({files, chat_, context_.grid.world(), log_, config_.batch.length}).records)
    sequences.push_back(std::move(demonstration.tokens));
  // After the training would be late to find that equal scores cannot be stretched.
  const std::set<TokenSequence> different(sequences.begin(), sequences.end());
  if (config_.reward.normalise == Normalise::gain_and_bias && different.size() < 2)
    throw Error(ExitCode::data,
                fmt::format("[reward] reference = {} has {} different demonstration{}, and scores of two "
                            "or more are needed for [reward] normalise = gain_and_bias; give more, or "
                            "use bias",
                            config_.reward.reference, different.size(), different.size() == 1 ? "" : "s"));
  return sequences;
}

std::vector<std::string> Reward::describe() const {
  const auto line = [&](const char* what, const std::vector<Comparison>& comparisons) {
    std::size_t responses = 0;
    for (const Comparison& comparison : comparisons) responses += comparison.responses.size();
    return fmt::format("{}: {} comparisons of {} responses", what, comparisons.size(), responses);
  };
  std::vector<std::string> lines = {line("training", comparisons_)};
  if (!held_out_.empty()) lines.push_back(line("held out", held_out_));
  if (!reference_.empty()) lines.push_back(fmt::format("reference: {} demonstrations", reference_.size()));
  return lines;
}

// Each epoch in an order of its own. Without run.steps the last step ends with the last epoch, and may be smaller.
std::vector<std::int64_t> Reward::next_prompts() const {
  const std::int64_t count = std::ssize(comparisons_), first = step_ * config_.batch.global;
  std::int64_t end = first + config_.batch.global;
  if (config_.run.steps == 0) end = std::min(end, config_.reward.epochs * count);
  std::vector<std::int64_t> places;
  for (std::int64_t i = first; i < end; ++i) {
    const RandomKey key{config_.run.seed, kShuffleStream + static_cast<std::uint64_t>(i / count)};
    const Permutation order(key, static_cast<std::uint64_t>(count));
    places.push_back(static_cast<std::int64_t>(order(static_cast<std::uint64_t>(i % count))));
  }
  return places;
}

// Sizes in sequences; every comparison of `order` weighs the same. The arguments must outlive it.
GlobalBatch Reward::batch_of(std::span<const Comparison> comparisons, std::span<const std::int64_t> order) const {
  const int responses = config_.reward.responses, micro = config_.batch.micro, length = config_.batch.length;
  const std::int64_t unit = std::int64_t{context_.grid.config().data_shards} * micro;
  GlobalBatch batch;
  batch.step = step_ + 1;
  batch.seed = config_.run.seed;
  batch.size = static_cast<int>((std::ssize(order) + unit - 1) / unit * unit * responses);
  batch.micro = micro * responses;
  batch.load = [comparisons, order, responses, length](std::int64_t first, int sequences) {
    return comparison_batch(comparisons, order, first / responses, sequences / responses, responses, length);
  };
  batch.objective = &objective_;
  batch.divisor = static_cast<double>(order.size());
  return batch;
}

StepReport Reward::run_step() {
  if (step_ == 0 && config_.reward.normalise == Normalise::gain_and_bias) normalise();
  const std::vector<std::int64_t> order = next_prompts();
  const double rate = learning_rate(config_.optimizer, step_ + 1, tokens_, total_steps_);
  const StepResult result = trainer_.step(batch_of(comparisons_, order), rate);
  skips_.see(result);
  ++step_;
  normalised_ = 0;

  StepReport report;
  report.tokens = tokens_of(comparisons_, order);
  tokens_ += report.tokens;
  report.flops = config_.model.flops_per_token(config_.batch.length) * static_cast<double>(report.tokens);
  const std::vector<double>& terms = result.terms.front();
  report.metrics = {{"loss", terms[RankingObjective::kLoss]},
                    {"accuracy", terms[RankingObjective::kCorrect] / terms[RankingObjective::kPairs]},
                    {"learning_rate", rate},
                    {"gradient_norm", result.gradient_norm}};
  if (!result.updated) report.note = "not finite: step skipped";
  if (config_.run.validate_every > 0 && step_ % config_.run.validate_every == 0) validate(report);
  return report;
}

void Reward::validate(StepReport& report) {
  std::vector<std::int64_t> order(std::min<std::size_t>(
      held_out_.size(),
      static_cast<std::size_t>(config_.run.validation_batches) * static_cast<std::size_t>(config_.batch.global)));
  std::iota(order.begin(), order.end(), 0);
  const std::vector<double> terms = evaluator_.terms(batch_of(held_out_, order));
  report.metrics.emplace_back("validation_loss", terms[RankingObjective::kLoss]);
  report.metrics.emplace_back("validation_accuracy",
                              terms[RankingObjective::kCorrect] / terms[RankingObjective::kPairs]);
}

std::vector<double> Reward::scores_of(std::span<const TokenSequence> sequences) {
  const int responses = config_.reward.responses;
  return score_sequences([this](const GlobalBatch& batch) { return evaluator_.outputs(batch); }, sequences,
                         {.chunk = config_.batch.global * responses,
                          .micro = config_.batch.micro * responses,
                          .length = config_.batch.length});
}

bool Reward::conclude() {
  if (config_.reward.normalise == Normalise::none || normalised_ != 0) return false;
  normalise();
  normalised_ = 1;
  log_.info("scores normalised: the reference's had mean {:.4f} and deviation {:.4f}", before_.mean, before_.deviation);
  return true;
}

// score = y . w + b  ->  (score - mean) / deviation, by new values of w and b.
void Reward::normalise() {
  before_ = moments_of(scores_of(reference_));
  const double gain = config_.reward.normalise == Normalise::gain_and_bias ? before_.deviation : 1.0;
  if (!std::isfinite(before_.mean) || !std::isfinite(gain))
    throw Error(ExitCode::diverged, fmt::format("scores of [reward] reference = {} have mean {} and deviation {}",
                                                config_.reward.reference, before_.mean, before_.deviation))
        .on_every_rank();
  if (gain <= 0)
    throw Error(ExitCode::data,
                fmt::format("all {} demonstrations of [reward] reference = {} have the score {}, which no gain can "
                            "stretch; give other demonstrations, or [reward] normalise = bias or none",
                            reference_.size(), config_.reward.reference, before_.mean));
  const auto change = [&](const char* parameter, double shift) {
    trainer_.weights().edit(parameter, [&](std::span<float> values) {
      for (float& value : values) value = static_cast<float>((value - shift) / gain);
    });
  };
  change(kScoreWeight, 0.0);
  change(kScoreBias, before_.mean);
}

void Reward::finish() {
  report_ = {};
  const bool normalised = config_.reward.normalise != Normalise::none;
  if (!held_out_.empty()) {
    const double gain = config_.reward.normalise == Normalise::gain_and_bias ? before_.deviation : 1.0;
    report_ = judge_scores(held_out_, scores_of(sequences_of(held_out_)), gain);
  }
  if (normalised) report_.reference = {before_, moments_of(scores_of(reference_))};
  if (context_.grid.world().rank() == 0)
    replace_text_file(config_.run.directory + "/reward_report.json", to_json(report_));
}

void Reward::visit(Archive& archive) {
  archive.value("reward/step", step_);
  archive.value("reward/tokens", tokens_);
  archive.value("reward/reference_mean", before_.mean);
  archive.value("reward/reference_deviation", before_.deviation);
  skips_.visit(archive, "reward");
  visit_tokenizer(archive, {tokenizer_->name(), tokenizer_->hash()});
  check_unchanged(archive, "reward/comparisons", content_hash(comparisons_),
                  fmt::format("[reward] comparisons ({}) of contents", config_.reward.comparisons));
  archive.value("reward/normalised", normalised_);
  check_reference(archive);
  trainer_.visit(archive);
}

// Where only the normalisation is left to do, other demonstrations may be what it takes.
void Reward::check_reference(Archive& archive) const {
  const char* const name = "reward/reference";
  if (config_.reward.normalise == Normalise::none) return;
  if (archive.reading() && ((step_ >= total_steps_ && normalised_ == 0) || !archive.has(name))) return;
  check_unchanged(archive, name, content_hash(reference_),
                  fmt::format("[reward] reference ({}) of contents", config_.reward.reference));
}

}  // namespace coxswain
