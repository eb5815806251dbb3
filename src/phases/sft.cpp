#include "phases/sft.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "data/prompts.h"
#include "data/tokenizer_identity.h"
#include "data/unchanged.h"
#include "phases/policy_sampling.h"
#include "train/learning_rate.h"

namespace coxswain {

namespace {

const LanguageModelLossByKind kLossByKind(2);  // demonstrations and text, as data/fine_tuning_source.h marks them

PackedDemonstrations packed(const SftPhaseConfig& config, const std::string& files, const char* key, bool shuffle,
                            const ChatFormat& chat, Communicator& world, Log& log) {
  const Reading reading{{files, key, config.data.on_bad_line}, chat, world, log, config.batch.length};
  return PackedDemonstrations(
      read_demonstrations(reading).records,
      {.length = config.batch.length, .packing = config.sft.packing, .shuffle = shuffle, .seed = config.run.seed});
}

FineTuningSource source_of(const SftPhaseConfig& config, const ChatFormat& chat, Communicator& world, Log& log) {
  std::optional<BatchSource> text;
  if (config.sft.pretrain_share > 0) {
    const BatchSource::Options options{config.batch.length, config.model.vocabulary, config.run.seed};
    text.emplace(config.data, options);
  }
  return FineTuningSource(
      packed(config, config.sft.demonstrations, "[sft] demonstrations", true, chat, world, log), std::move(text),
      {.text_share = config.sft.pretrain_share, .epochs = config.run.steps > 0 ? 0 : config.sft.epochs});
}

std::vector<std::vector<std::int32_t>> prompts_of(const SftPhaseConfig& config, const ChatFormat& chat,
                                                  Communicator& world, Log& log) {
  const SftConfig& sft = config.sft;
  const bool own = !sft.validation_prompts.empty();
  const Reading reading{{own ? sft.validation_prompts : sft.validation,
                         own ? "[sft] validation_prompts" : "[sft] validation", config.data.on_bad_line},
                        chat,
                        world,
                        log,
                        config.batch.length - config.generate.max_new_tokens};
  std::vector<std::vector<std::int32_t>> prompts;
  for (PromptRecord& record : read_prompts(reading).records) {
    if (sft.scored_prompts > 0 && std::ssize(prompts) == sft.scored_prompts) break;
    prompts.push_back(std::move(record.tokens));
  }
  return prompts;
}

ResponseScores::Config scores_config(const SftPhaseConfig& config, const ChatFormat& chat, const Tokenizer& tokenizer) {
  return {.reward = config.reward_model,
          .reward_grid = config.reward_grid,
          .generator = {.slots = config.generate.slots, .context = config.batch.length},
          .sampling = policy_sampling(config.generate, config.run.seed, chat, tokenizer),
          .micro = config.batch.micro,
          .length = config.batch.length};
}

}  // namespace

Sft::Sft(const SftPhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log)
    : config_(config),
      log_(log),
      context_{backend, grid, config_.model},
      model_(context_),
      trainer_(model_, config_.batch, config_.optimizer),
      evaluator_(model_),
      skips_(config_.optimizer),
      tokenizer_(make_tokenizer(config_.data)),
      chat_(config_.chat, *tokenizer_),
      source_(source_of(config_, chat_, grid.world(), log)) {
  check_vocabulary(*tokenizer_, config_.model.vocabulary);
  check_text();
  const std::int64_t global = config_.batch.global;
  total_steps_ = config_.run.steps > 0 ? config_.run.steps : (source_.total() + global - 1) / global;
  if (config_.run.validate_every > 0 && !config_.sft.validation.empty())
    held_out_.emplace(packed(config_, config_.sft.validation, "[sft] validation", false, chat_, grid.world(), log));
  if (config_.sft.choose == BestBy::reward)
    response_scores_.emplace(scores_config(config_, chat_, *tokenizer_), prompts_of(config_, chat_, grid.world(), log),
                             model_, grid.world(), backend);
}

void Sft::load_frozen() {
  if (!response_scores_) return;
  const ModelSource source{config_.sft.reward_model, "[sft] reward_model", "reward model", HeadKind::scalar};
  reward_state_ = load_model(source, load_context(), [this](Archive& archive) { load_reward_model(archive); });
}

void Sft::load_reward_model(Archive& archive) {
  visit_tokenizer(archive, {tokenizer_->name(), tokenizer_->hash()},
                  fmt::format("[sft] reward_model = {}", config_.sft.reward_model));
  response_scores_->load(archive);
}

void Sft::begin() {
  if (config_.run.initialize_from.empty()) {
    log_.warning("[run] initialize_from is empty: fine-tuning begins with random weights");
    return trainer_.weights().initialise(config_.run.seed);
  }
  load_model(initial_weights(config_.run, config_.model.head), load_context(), [this](Archive& archive) {
    visit_own_tokenizer(archive);
    trainer_.weights().load(archive);
  });
}

void Sft::check_text() const {
  require_same_tokens({"[data] source", config_.data.source, source_.text_tokenizer_hash()}, tokenizer_->hash(),
                      fmt::format("[data] tokenizer = {}, which reads the demonstrations", tokenizer_->name()));
}

StepReport Sft::run_step() {
  const FineTuningSource::Contents contents = source_.contents(config_.batch.global);
  const std::int64_t tokens_before = step_ * config_.batch.tokens_per_step();
  const double rate = learning_rate(config_.optimizer, step_ + 1, tokens_before, total_steps_);
  const StepResult result = train(rate, contents);
  skips_.see(result);
  ++step_;
  source_.advance(config_.batch.global);

  const std::vector<double>& sums = result.terms[0];
  StepReport report;
  report.tokens = config_.batch.tokens_per_step();
  report.flops = config_.model.flops_per_token(config_.batch.length) * static_cast<double>(report.tokens);
  const auto add_mean = [&](const char* name, double sum, const FineTuningSource::Kind& kind) {
    if (kind.tokens > 0) report.metrics.emplace_back(name, sum / static_cast<double>(kind.tokens));
  };
  add_mean("loss", sums[1], contents.demonstrations);
  add_mean("pretrain_loss", sums[2], contents.text);
  report.metrics.emplace_back("learning_rate", rate);
  report.metrics.emplace_back("gradient_norm", result.gradient_norm);
  if (!result.updated) report.note = "not finite: step skipped";
  validate(report);
  return report;
}

StepResult Sft::train(double rate, const FineTuningSource::Contents& contents) {
  const double demonstrations = contents.demonstrations.scale(contents.sequences());
  const double text = contents.text.scale(contents.sequences());
  const double base = demonstrations > 0 ? demonstrations : text;  // of a token with weight 1
  GlobalBatch batch;
  batch.step = step_ + 1;
  batch.seed = config_.run.seed;
  batch.size = config_.batch.global;
  batch.micro = config_.batch.micro;
  batch.objective = &kLossByKind;
  batch.divisor = base > 0 ? 1 / base : 0;
  batch.load = [this, weight = base > 0 ? text / base : 0](std::int64_t first, int count) {
    return source_.micro_batch(first, count, weight);
  };
  return trainer_.step(batch, rate);
}

// Every so many steps, and of the last weights too.
void Sft::validate(StepReport& report) {
  const std::int64_t every = config_.run.validate_every;
  if (every == 0 || (step_ % every != 0 && step_ != total_steps_)) return;
  const auto see = [&](const char* name, double value, BestBy by, double merit) {
    report.metrics.emplace_back(name, value);
    if (config_.sft.choose == by) judge(merit);
  };
  if (held_out_) {
    const double loss = validation_loss();
    see("validation_loss", loss, BestBy::loss, -loss);
  }
  if (response_scores_) {
    const double score = response_scores_->mean();
    if (!std::isfinite(score))
      throw Error(ExitCode::diverged, fmt::format("the mean score of the responses is {}: the model of [sft] "
                                                  "reward_model = {} is broken; use an earlier checkpoint",
                                                  score, config_.sft.reward_model))
          .on_every_rank();
    see("validation_score", score, BestBy::reward, score);
  }
  if (best_step_ == step_) report.note += fmt::format("{}best so far", report.note.empty() ? "" : "; ");
}

double Sft::validation_loss() {
  const std::int64_t global = config_.batch.global, sequences = held_out_->sequences(1);
  const std::int64_t batches =
      std::min<std::int64_t>(config_.run.validation_batches, (sequences + global - 1) / global);
  GlobalBatch batch;
  batch.size = static_cast<int>(batches * global);
  batch.micro = config_.batch.micro;
  batch.load = [&](std::int64_t first, int count) {
    MicroBatch micro = blank_documents(count, config_.batch.length);
    for (int row = 0; row < count && first + row < sequences; ++row) held_out_->write(first + row, micro, row);
    return micro;
  };
  return evaluator_.terms(batch).front();
}

// Equal weights are not better: the first ones stay.
void Sft::judge(double merit) {
  if (!std::isfinite(merit) || (best_step_ > 0 && merit <= best_merit_)) return;
  best_step_ = step_;
  best_merit_ = merit;
}

void Sft::visit(Archive& archive) {
  visit_own_tokenizer(archive);
  archive.value("sft/step", step_);
  archive.value("sft/best_step", best_step_);
  archive.value("sft/best_merit", best_merit_);
  skips_.visit(archive, "sft");
  check_judge(archive);
  source_.visit(archive);
  trainer_.visit(archive);
}

// What the weights have been judged by so far: merits by another measure would not compare.
void Sft::check_judge(Archive& archive) {
  const SftConfig& sft = config_.sft;
  if (sft.choose == BestBy::loss) held_out_->visit(archive, "sft/validation", "[sft] validation");
  if (!response_scores_) return;
  check_unchanged(archive, "sft/reward_model", reward_state_,
                  fmt::format("[sft] reward_model ({}) of state", sft.reward_model));
  check_unchanged(archive, "sft/prompts", content_hash(response_scores_->prompts()),
                  fmt::format("the first [sft] scored_prompts of {} of contents",
                              sft.validation_prompts.empty() ? "validation" : "validation_prompts"));
}

void Sft::visit_own_tokenizer(Archive& archive) { visit_tokenizer(archive, {tokenizer_->name(), tokenizer_->hash()}); }

std::string Sft::summary() const {
  if (best_step_ == 0) return {};
  const bool loss = config_.sft.choose == BestBy::loss;
  return fmt::format("the best weights are those of step {} (validation {} {:.4f}): {}/checkpoints/best names them",
                     best_step_, loss ? "loss" : "score", loss ? -best_merit_ : best_merit_, config_.run.directory);
}

std::vector<std::string> Sft::describe() {
  std::vector<std::string> lines{
      fmt::format("{}: {}", config_.sft.demonstrations, source_.demonstrations().describe())};
  if (held_out_) lines.push_back(fmt::format("{}: {}", config_.sft.validation, held_out_->describe()));
  for (const std::string& line : source_.describe_text()) lines.push_back("pre-training text: " + line);
  return lines;
}

}  // namespace coxswain
