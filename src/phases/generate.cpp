#include "phases/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/tokenizer_identity.h"

namespace coxswain {

namespace {

std::vector<std::string> read_prompts(const GenerateConfig& config) {
  if (config.prompts.empty()) return {config.prompt};
  std::ifstream file(config.prompts);
  if (!file)
    throw Error(ExitCode::data, fmt::format("[generate] prompts = {}: the file cannot be read", config.prompts));
  std::vector<std::string> prompts;
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) prompts.push_back(line);
  if (prompts.empty())
    throw Error(ExitCode::data, fmt::format("[generate] prompts = {}: no prompt in it", config.prompts));
  return prompts;
}

}  // namespace

Generate::Generate(const GeneratePhaseConfig& config, const ProcessGrid& grid, Backend& backend)
    : config_(config),
      context_{backend, grid, config_.model},
      model_(context_, ModelUse::inference),
      weights_(model_),
      generator_(model_, {.slots = 1, .context = std::min(config_.length, config_.model.context)}),
      tokenizer_(make_tokenizer(config_.data)),
      prompts_(read_prompts(config_.generate)) {
  if (tokenizer_->vocabulary_size() > config_.model.vocabulary)
    throw Error(ExitCode::usage, fmt::format("[model] vocabulary = {} is smaller than the tokenizer's {} tokens",
                                             config_.model.vocabulary, tokenizer_->vocabulary_size()));
}

void Generate::load_weights(Archive& archive) {
  visit_tokenizer(archive, {tokenizer_->name(), tokenizer_->hash()});
  weights_.visit(archive);
}

StepReport Generate::run_step() {
  const auto index = responses_.size();
  GenerationRequest request;
  request.prompt = tokenizer_->encode(prompts_[index]);
  if (request.prompt.empty()) request.prompt.push_back(tokenizer_->end_of_document());
  request.prompt_index = static_cast<std::int64_t>(index);
  Sampling sampling;
  sampling.seed = config_.run.seed;
  sampling.temperature = config_.generate.temperature;
  sampling.max_new_tokens = config_.generate.max_new_tokens;
  sampling.stop_tokens = {tokenizer_->end_of_document()};
  GeneratedResponse generated = generator_.respond({request}, sampling).front();
  std::vector<std::int32_t>& response = generated.tokens;
  StepReport report;
  report.tokens = static_cast<std::int64_t>(response.size());
  token_counts_.push_back(report.tokens);
  if (generated.finish_reason == FinishReason::stop) response.pop_back();
  responses_.push_back(tokenizer_->decode(response));
  return report;
}

void Generate::finish() {
  if (config_.generate.output.empty() || context_.grid.world().rank() != 0) return;
  std::ofstream file(config_.generate.output);
  for (std::size_t i = 0; i < responses_.size(); ++i) {
    const nlohmann::ordered_json line{
        {"prompt", prompts_[i]}, {"response", responses_[i]}, {"tokens", token_counts_[i]}};
    file << line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  }
  file.close();
  if (!file)
    throw Error(ExitCode::input_output,
                fmt::format("[generate] output = {} cannot be written", config_.generate.output));
}

std::string Generate::summary() const {
  if (!config_.generate.output.empty())
    return fmt::format("{} responses in {}", responses_.size(), config_.generate.output);
  std::string text;
  for (std::size_t i = 0; i < responses_.size(); ++i) text += prompts_[i] + responses_[i] + "\n";
  return text;
}

}  // namespace coxswain
