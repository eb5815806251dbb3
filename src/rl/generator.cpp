#include "rl/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <string>

#include "base/random.h"
#include "base/require.h"
#include "model/language_head.h"

namespace coxswain {

namespace {

constexpr std::uint64_t kSamplingStream = 0x73616d706c65;  // "sample": apart from weights and dropout

std::uint64_t mixed(std::uint64_t key, std::int64_t value) {  // SplitMix64 (Steele, Lea, Flood 2014)
  key += 0x9e3779b97f4a7c15ull * (static_cast<std::uint64_t>(value) + 1);
  key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9ull;
  key = (key ^ (key >> 27)) * 0x94d049bb133111ebull;
  return key ^ (key >> 31);
}

double uniform_of(const Sampling& sampling, const GenerationRequest& request, std::size_t position) {
  const std::uint64_t stream =
      mixed(mixed(mixed(kSamplingStream, sampling.step), request.prompt_index), request.sample);
  return uniform_real({sampling.seed, stream}, position);
}

bool ends_with(const std::vector<std::int32_t>& tokens, const std::vector<std::int32_t>& end) {
  return !end.empty() && tokens.size() >= end.size() && std::equal(end.rbegin(), end.rend(), tokens.rbegin());
}

bool has_ended(const std::vector<std::int32_t>& tokens, const Sampling& sampling) {
  if (static_cast<int>(tokens.size()) < sampling.min_new_tokens) return false;
  const auto& stops = sampling.stop_tokens;
  if (std::find(stops.begin(), stops.end(), tokens.back()) != stops.end()) return true;
  for (const auto& sequence : sampling.stop_sequences)
    if (ends_with(tokens, sequence)) return true;
  if (sampling.tokenizer == nullptr || sampling.stop_texts.empty()) return false;
  const std::string text = sampling.tokenizer->decode(tokens);
  return std::any_of(sampling.stop_texts.begin(), sampling.stop_texts.end(),
                     [&](const std::string& stop) { return text.find(stop) != std::string::npos; });
}

double log_probability(const std::vector<float>& logits, std::int32_t token) {
  const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return static_cast<double>(logits[static_cast<std::size_t>(token)]) - largest - std::log(sum);
}

const LanguageHead& head_of(Stage& stage) { return dynamic_cast<const LanguageHead&>(*stage.head()); }

}  // namespace

std::int32_t sample_token(const std::vector<float>& logits, double temperature, double uniform) {
  const auto largest = std::max_element(logits.begin(), logits.end());
  if (temperature <= 0) return static_cast<std::int32_t>(largest - logits.begin());
  std::vector<double> weights(logits.size());
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i)
    sum += weights[i] = std::exp((static_cast<double>(logits[i]) - static_cast<double>(*largest)) / temperature);
  double left = uniform * sum;
  for (std::size_t i = 0; i < weights.size(); ++i)
    if ((left -= weights[i]) < 0) return static_cast<std::int32_t>(i);
  return static_cast<std::int32_t>(largest - logits.begin());  // rounding left a crumb
}

const char* name_of(FinishReason reason) { return reason == FinishReason::stop ? "stop" : "length"; }

void GeneratorConfig::check(const ModelConfig& model) const {
  require(slots > 0, "[generate] slots", slots, "must be positive");
  require(prompt_chunk > 0, "[generate] prompt_chunk", prompt_chunk, "must be positive");
  require(context <= model.context, "context of the generator", context,
          fmt::format("is more than the model's {} positions", model.context));
}

Generator::Generator(Model& model, const GeneratorConfig& config) : model_(model), config_(config) {
  const ModelConfig& shape = model.context().config;
  if (config_.context == 0) config_.context = shape.context;
  config_.check(shape);
}

std::vector<GeneratedResponse> Generator::respond(const std::vector<GenerationRequest>& requests,
                                                  const Sampling& sampling) {
  std::vector<GeneratedResponse> responses;
  for (const GenerationRequest& request : requests) responses.push_back(respond_to(request, sampling));
  return responses;
}

GeneratedResponse Generator::respond_to(const GenerationRequest& request, const Sampling& sampling) {
  Communicator& pipeline = model_.context().grid.pipeline();
  std::vector<std::int32_t> text = request.prompt;
  GeneratedResponse response;
  while (static_cast<int>(response.tokens.size()) < sampling.max_new_tokens &&
         static_cast<int>(text.size()) < config_.context) {
    std::vector<float> logits = next_logits(text);
    std::string token;
    if (!logits.empty()) {
      std::vector<float> allowed = logits;
      if (static_cast<int>(response.tokens.size()) < sampling.min_new_tokens)
        for (const std::int32_t stop : sampling.stop_tokens)
          allowed[static_cast<std::size_t>(stop)] = -std::numeric_limits<float>::infinity();
      const std::int32_t drawn =
          sample_token(allowed, sampling.temperature, uniform_of(sampling, request, response.tokens.size()));
      token = fmt::format("{} {}", drawn, log_probability(logits, drawn));
    }
    std::istringstream answer(pipeline.broadcast(token, pipeline.size() - 1, "sampled token"));
    std::int32_t drawn = 0;
    double log_probability = 0;
    answer >> drawn >> log_probability;
    text.push_back(drawn);
    response.tokens.push_back(drawn);
    response.log_probability += log_probability;
    if (!has_ended(response.tokens, sampling)) continue;
    response.finish_reason = FinishReason::stop;
    break;
  }
  return response;
}

std::vector<float> Generator::next_logits(const std::vector<std::int32_t>& text) {
  const ModelContext& context = model_.context();
  const int positions = config_.context / context.shards() * context.shards();
  const auto length = static_cast<std::size_t>(positions);
  const std::size_t begin = text.size() > length ? text.size() - length : 0;
  MicroBatch host;
  host.sequences = 1;
  host.length = positions;
  host.tokens.assign(text.begin() + static_cast<std::ptrdiff_t>(begin), text.end());
  const auto last = static_cast<std::int64_t>(host.tokens.size()) - 1;
  host.tokens.resize(length, 0);  // behind the last token: nothing before it sees them
  host.targets.assign(length, 0);
  host.weights.assign(length, 0.0f);
  for (int position = 0; position < positions; ++position) host.positions.push_back(position);

  const GridConfig& grid = context.grid.config();
  Communicator& pipeline = context.grid.pipeline();
  const int stages = grid.pipeline * grid.virtual_stages;
  const Shape shape{context.local_rows(positions), context.config.hidden};
  Tensor x;
  std::vector<float> logits;
  for (int stage = 0; stage < stages; ++stage) {
    const int owner = stage % grid.pipeline, before = (stage + grid.pipeline - 1) % grid.pipeline;
    if (owner == pipeline.rank()) {
      if (stage > 0 && before != owner) {
        x = context.tensor(shape);
        pipeline.receive(x, before, "activations").wait();
      }
      Stage::Saved saved;
      saved.batch = Batch(context.backend, host, {.training = false}, 0.0);
      x = model_.stage(stage / grid.pipeline).evaluate(std::move(x), saved);
      if (stage == stages - 1) logits = head_of(model_.stage(stage / grid.pipeline)).row_logits(saved.head, last);
    } else if (stage > 0 && before == pipeline.rank()) {
      pipeline.send(x, owner, "activations").wait();
    }
  }
  return logits;
}

}  // namespace coxswain
