#include "phases/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/tokenizer_identity.h"
#include "io/append_file.h"
#include "io/output_file.h"
#include "io/run_history.h"
#include "phases/policy_sampling.h"
#include "rl/random_prompts.h"

namespace coxswain {

namespace {

constexpr std::uint64_t kSyntheticStream = 0x9904ull << 48;
constexpr const char* kPromptsKey = "[generate] prompts";

bool chats(const GenerateConfig& config) {
  return !config.prompts.empty() && hold_records(config.prompts, kPromptsKey);
}

std::vector<PromptRecord> synthetic_prompts(const GeneratePhaseConfig& config) {
  std::vector<PromptRecord> prompts;
  for (auto& tokens : random_prompts({config.run.seed, kSyntheticStream}, config.generate.synthetic_prompts,
                                     config.generate.synthetic_prompt_tokens, config.model.vocabulary))
    prompts.push_back({std::move(tokens), {}, {}, {}, {}});
  return prompts;
}

// A response in the file of an unfinished run, with all bits of its log-probability.
std::string record_of(const GeneratedResponse& response) {
  return nlohmann::json({response.tokens, response.log_probability, static_cast<int>(response.finish_reason)}).dump();
}

GeneratedResponse parsed(const std::string& record) {
  const nlohmann::json json = nlohmann::json::parse(record);
  return {json.at(0), json.at(1), static_cast<FinishReason>(json.at(2).get<int>())};
}

}  // namespace

Generate::Generate(const GeneratePhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log)
    : config_(config),
      context_{grid.world(), backend, log},
      model_(config.model, grid, backend),
      generator_(model_.model(), {.slots = config.generate.busy_slots(grid.config().data),
                                  .context = std::min(config.length, config.model.context),
                                  .compress_weights = config.generate.compress_weights}),
      tokenizer_(make_tokenizer(config_.data)),
      chats_(chats(config_.generate)),
      chat_(chats_ ? config_.chat : without_markers(), *tokenizer_) {
  const GenerateConfig& wanted = config_.generate;
  try_output(context_.world, wanted.output, "[generate] output");
  if (tokenizer_->vocabulary_size() > config_.model.vocabulary && wanted.synthetic_prompts == 0)
    throw Error(ExitCode::usage, fmt::format("[model] vocabulary = {} is smaller than the tokenizer's {} tokens",
                                             config_.model.vocabulary, tokenizer_->vocabulary_size()));
  const int longest = std::min(config_.length, config_.model.context) - wanted.max_new_tokens;
  if (wanted.synthetic_prompts > 0)
    prompts_ = synthetic_prompts(config_);
  else if (!wanted.prompts.empty())
    prompts_ =
        read_prompts({{wanted.prompts, kPromptsKey, config_.data.on_bad_line}, chat_, grid.world(), log, longest})
            .records;
  else
    prompts_ = {{chat_.encode_prompt({{Role::user, wanted.prompt}}), wanted.prompt, {}, {}, {}}};
  for (std::size_t i = 0; i < prompts_.size(); ++i)
    if (std::ssize(prompts_[i].tokens) > longest)
      throw Error(
          ExitCode::data,
          fmt::format("prompt {} has {} tokens, which with [generate] max_new_tokens = {} is more than the model "
                      "sees at once ({}); shorten it or give less room to the response",
                      i + 1, prompts_[i].tokens.size(), wanted.max_new_tokens, longest + wanted.max_new_tokens));
  generator_.reserve();  // here, since it is no part of a step
}

void Generate::begin() {
  if (config_.run.initialize_from.empty())  // synthetic prompts
    model_.initialise(config_.run.seed);
  else
    go_on(load_model(initial_weights(config_.run, HeadKind::language), context_, [this](Archive& archive) {
      visit_tokenizer(archive, {tokenizer_->name(), tokenizer_->hash()});
      model_.load(archive);
    }));
  generator_.hold_weights();
}

std::int64_t Generate::requests() const { return std::ssize(prompts_) * config_.generate.samples; }

std::int64_t Generate::total_steps() const { return (requests() + requests_a_step() - 1) / requests_a_step(); }

Sampling Generate::sampling() const {
  Sampling sampling = policy_sampling(config_.generate, config_.run.seed, chat_, *tokenizer_);
  if (config_.generate.synthetic_prompts > 0) {  // random tokens end nothing
    sampling.stop_sequences.clear();
    sampling.stop_texts.clear();
  }
  return sampling;
}

// All that responses depend on, as one line.
std::string Generate::identity(const std::string& weights) const {
  const GenerateConfig& wanted = config_.generate;
  return nlohmann::json({{"weights", weights},
                         {"prompts", content_hash(prompts_)},
                         {"seed", config_.run.seed},
                         {"samples", wanted.samples},
                         {"temperature", wanted.temperature},
                         {"top_k", wanted.top_k},
                         {"top_p", wanted.top_p},
                         {"tokens", {wanted.min_new_tokens, wanted.max_new_tokens, config_.length}},
                         {"stop", wanted.stop},
                         {"chat", chat_.stop()}})
      .dump();
}

void Generate::go_on(const std::string& weights) {
  if (total_steps() <= 1) return;
  unfinished_ = std::make_unique<UnfinishedOutput>(context_.world, config_.run.directory + "/unfinished.jsonl",
                                                   identity(weights));
  const auto known = unfinished_->take(requests_a_step(), read_run_history(config_.run.directory).step());
  for (const std::string& line : known) {
    responses_.push_back(parsed(line));
    kept_tokens_ += std::ssize(responses_.back().tokens);
  }
  step_ = std::ssize(known) / requests_a_step();
  if (step_ > 0) context_.log.info("goes on behind {} responses of {}", known.size(), requests());
}

StepReport Generate::run_step() {
  std::vector<GenerationRequest> asked;
  const std::int64_t first = step_ * requests_a_step(), samples = config_.generate.samples;
  for (std::int64_t i = first; i < std::min(requests(), first + requests_a_step()); ++i)
    asked.push_back({prompts_[static_cast<std::size_t>(i / samples)].tokens, i / samples, i % samples});
  StepReport report;
  std::string records;
  for (GeneratedResponse& response : generator_.respond(asked, sampling())) {
    report.tokens += std::ssize(response.tokens);
    records += record_of(response) + '\n';
    responses_.push_back(std::move(response));
  }
  if (unfinished_) unfinished_->append(records);
  ++step_;
  return report;
}

std::string Generate::text_of(const GeneratedResponse& response) const {
  if (config_.generate.synthetic_prompts > 0) return {};
  return chat_.decode_response(response.tokens);
}

void Generate::finish() {
  if (!config_.generate.output.empty() && context_.world.rank() == 0) write_output();
  if (unfinished_) unfinished_->remove();
}

void Generate::write_output() const {
  std::string text;
  const auto samples = static_cast<std::size_t>(config_.generate.samples);
  for (std::size_t i = 0; i < responses_.size(); ++i) {
    const PromptRecord& prompt = prompts_[i / samples];
    nlohmann::ordered_json line{{"prompt", prompt.text},
                                {"response", text_of(responses_[i])},
                                {"tokens", responses_[i].tokens.size()},
                                {"log_probability", responses_[i].log_probability},
                                {"finish_reason", name_of(responses_[i].finish_reason)}};
    if (samples > 1) line["sample"] = i % samples;
    if (!prompt.id.empty()) line["id"] = prompt.id;
    text += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  replace_text_file(config_.generate.output, text);
}

std::string Generate::summary() const {
  if (!config_.generate.output.empty())
    return fmt::format("{} responses in {}", responses_.size(), config_.generate.output);
  std::string text;
  const auto samples = static_cast<std::size_t>(config_.generate.samples);
  if (config_.generate.synthetic_prompts > 0) return text;
  for (std::size_t i = 0; i < responses_.size(); ++i)
    text += prompts_[i / samples].text + (chats_ ? "\n -> " : "") + text_of(responses_[i]) + "\n";
  return text;
}

}  // namespace coxswain
