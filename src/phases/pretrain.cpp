#include "phases/pretrain.h"

#include <algorithm>

#include "data/tokenizer_identity.h"
#include "phases/load_checkpoint.h"
#include "train/learning_rate.h"

namespace coxswain {

Pretrain::Pretrain(const PretrainConfig& config, const ProcessGrid& grid, Backend& backend, Log& log)
    : config_(config),
      log_(log),
      context_{backend, grid, config_.model},
      model_(context_),
      trainer_(model_, config_.batch, config_.optimizer),
      evaluator_(model_),
      skips_(config_.optimizer),
      data_(config_.data, {config_.batch.length, config_.model.vocabulary, config_.run.seed}) {
  if (config_.run.validate_every == 0) return;
  held_out_.emplace(config_.data, config_.batch.length, config_.model.vocabulary);
  require_same_tokens({"[data] validation", config_.data.validation, held_out_->tokenizer_hash()},
                      data_.tokenizer_hash(), "[data] source");
}

void Pretrain::begin() {
  if (config_.run.initialize_from.empty()) return trainer_.weights().initialise(config_.run.seed);
  load_model(initial_weights(config_.run, config_.model.head), {context_.grid.world(), context_.backend, log_},
             [this](Archive& archive) {
               visit_own_tokenizer(archive);
               trainer_.weights().load(archive);
             });
}

StepReport Pretrain::run_step() {
  const int unit = context_.grid.config().data_shards * config_.batch.micro;
  GlobalBatch batch;
  batch.step = step_ + 1;
  batch.seed = config_.run.seed;
  batch.size = config_.batch.global_at(tokens_, unit);
  batch.micro = config_.batch.micro;
  batch.load = [this](std::int64_t first, int count) { return data_.micro_batch(data_.consumed() + first, count); };

  const double rate = learning_rate(config_.optimizer, step_ + 1, tokens_, config_.run.steps);
  const StepResult result = trainer_.step(batch, rate);
  skips_.see(result);
  ++step_;
  data_.advance(batch.size);

  StepReport report;
  report.tokens = std::int64_t{batch.size} * config_.batch.length;
  tokens_ += report.tokens;
  report.flops = config_.model.flops_per_token(config_.batch.length) * static_cast<double>(report.tokens);
  report.metrics = {{"loss", result.loss}, {"learning_rate", rate}, {"gradient_norm", result.gradient_norm}};
  if (!result.updated) report.note = "not finite: step skipped";
  if (held_out_ && step_ % config_.run.validate_every == 0) report.metrics.emplace_back("validation_loss", validate());
  return report;
}

double Pretrain::validate() {
  const std::int64_t global = config_.batch.global;
  const std::int64_t batches =
      std::min<std::int64_t>(config_.run.validation_batches, (held_out_->samples() + global - 1) / global);
  GlobalBatch batch;
  batch.size = static_cast<int>(batches * global);
  batch.micro = config_.batch.micro;
  batch.load = [&](std::int64_t first, int count) { return held_out_->micro_batch(first, count); };
  return evaluator_.terms(batch).front();
}

void Pretrain::visit(Archive& archive) {
  archive.value("pretrain/step", step_);
  archive.value("pretrain/tokens", tokens_);
  skips_.visit(archive, "pretrain");
  visit_own_tokenizer(archive);
  data_.visit(archive);
  trainer_.visit(archive);
}

void Pretrain::visit_own_tokenizer(Archive& archive) {
  visit_tokenizer(archive, {data_.tokenizer(), data_.tokenizer_hash()});
}

std::vector<std::string> Pretrain::describe() const { return data_.describe(); }

}  // namespace coxswain
