#include "rl/generator.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/philox.h"
#include "model/language_head.h"

namespace coxswain {

namespace {

constexpr std::uint64_t kSamplingStream = 0x73616d706c65;  // "sample": apart from weights and dropout

double uniform_of(std::uint64_t seed, std::int64_t prompt, std::size_t position) {
  const RandomKey key{seed, kSamplingStream + (static_cast<std::uint64_t>(prompt) << 48)};
  const auto words = philox(key, position);
  const std::uint64_t bits = static_cast<std::uint64_t>(words[0]) << 32 | words[1];
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
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

std::vector<std::int32_t> Generator::respond(const std::vector<std::int32_t>& prompt, std::int64_t prompt_index,
                                             const Sampling& sampling) {
  Communicator& pipeline = model_.context().grid.pipeline();
  std::vector<std::int32_t> text = prompt;
  while (static_cast<int>(text.size() - prompt.size()) < sampling.max_new_tokens) {
    const std::vector<float> logits = next_logits(text);
    std::int32_t token = -1;
    if (!logits.empty())
      token = sample_token(logits, sampling.temperature, uniform_of(sampling.seed, prompt_index, text.size()));
    token = static_cast<std::int32_t>(
        std::stol(pipeline.broadcast(std::to_string(token), pipeline.size() - 1, "sampled token")));
    text.push_back(token);
    if (token == sampling.stop_token) break;
  }
  return {text.begin() + static_cast<std::ptrdiff_t>(prompt.size()), text.end()};
}

std::vector<float> Generator::next_logits(const std::vector<std::int32_t>& text) {
  const ModelContext& context = model_.context();
  const auto length = static_cast<std::size_t>(length_);
  const std::size_t begin = text.size() > length ? text.size() - length : 0;
  MicroBatch host;
  host.sequences = 1;
  host.length = length_;
  host.tokens.assign(text.begin() + static_cast<std::ptrdiff_t>(begin), text.end());
  const auto last = static_cast<std::int64_t>(host.tokens.size()) - 1;
  host.tokens.resize(length, 0);  // behind the last token: nothing before it sees them
  host.targets.assign(length, 0);
  host.weights.assign(length, 0.0f);
  for (int position = 0; position < length_; ++position) host.positions.push_back(position);

  const GridConfig& grid = context.grid.config();
  Communicator& pipeline = context.grid.pipeline();
  const int stages = grid.pipeline * grid.virtual_stages;
  const Shape shape{context.local_rows(length_), context.config.hidden};
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
