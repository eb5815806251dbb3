#include "rl/generator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/require.h"
#include "kernels/compressed.h"

namespace coxswain {

namespace {

// Every data rank works on every P_d-th request.
std::vector<std::size_t> own_requests(std::size_t count, const ProcessGrid& grid) {
  std::vector<std::size_t> own;
  for (auto i = static_cast<std::size_t>(grid.data_rank()); i < count;
       i += static_cast<std::size_t>(grid.config().data))
    own.push_back(i);
  return own;
}

// A response as a line of text for the other ranks: hexadecimal floating point keeps every bit.
std::string line_of(const GeneratedResponse& response) {
  return fmt::format("{} {:a} {}\n", static_cast<int>(response.finish_reason), response.log_probability,
                     fmt::join(response.tokens, " "));
}

GeneratedResponse response_of(std::string_view line) {
  GeneratedResponse response;
  const char* at = line.data();
  char* end = nullptr;
  response.finish_reason = static_cast<FinishReason>(std::strtol(at, &end, 10));
  response.log_probability = std::strtod(end, &end);
  for (at = end; *at == ' '; at = end) response.tokens.push_back(static_cast<std::int32_t>(std::strtol(at, &end, 10)));
  return response;
}

// One rank of the last stage speaks for each data rank.
void share(std::vector<GeneratedResponse>& responses, const ProcessGrid& grid) {
  std::string own;
  const bool speaks = grid.pipeline_rank() == grid.config().pipeline - 1 && grid.tensor_rank() == 0;
  if (speaks)
    for (const std::size_t i : own_requests(responses.size(), grid)) own += line_of(responses[i]);
  const std::vector<std::string> texts = grid.world().all_gather(own, "responses");
  const auto data = static_cast<std::size_t>(grid.config().data);
  std::size_t data_rank = 0;
  for (const std::string& text : texts) {  // ranks of one stage stand in the order of their data coordinate
    if (text.empty() || data_rank == data) continue;
    std::size_t i = data_rank++, from = 0;
    for (std::size_t to = text.find('\n'); to != std::string::npos; to = text.find('\n', from), i += data) {
      responses[i] = response_of(std::string_view(text).substr(from, to - from));
      from = to + 1;
    }
  }
}

}  // namespace

void GeneratorConfig::check(const ModelConfig& model) const {
  require(slots > 0, "[generate] slots", slots, "must be positive");
  require(prompt_chunk > 0, "[generate] prompt_chunk", prompt_chunk, "must be positive");
  require(context <= model.context || model.positions == PositionKind::rotary, "context of the generator", context,
          fmt::format("is more than the model's {} positions", model.context));
}

Generator::Generator(Model& model, const GeneratorConfig& config) : model_(model), config_(config) {
  const ModelConfig& shape = model.context().config;
  if (config_.context == 0) config_.context = shape.context;
  config_.check(shape);
}

int Generator::slots_per_group() const {
  const int groups = model_.context().grid.config().pipeline;
  return (config_.slots + groups - 1) / groups;
}

void Generator::reserve() {
  const ModelContext& context = model_.context();
  const int slots = slots_per_group() * context.grid.config().pipeline;
  for (int chunk = static_cast<int>(caches_.size()); chunk < model_.stages(); ++chunk)
    caches_.emplace_back(context, model_.stage(chunk).layers(), slots, config_.context);
}

DecodePipeline& Generator::pipeline_for(const Sampling& sampling) {
  reserve();
  if (pipeline_ && pipeline_->serves(sampling)) return *pipeline_;
  pipeline_.reset();
  const DecodePipeline::Capacity capacity{std::int64_t{slots_per_group()} + config_.prompt_chunk, slots_per_group()};
  pipeline_ = std::make_unique<DecodePipeline>(model_, caches_, sampling, capacity);
  return *pipeline_;
}

void Generator::hold_weights() {
  if (!config_.compress_weights || held_weights_ || slots_per_group() > compressed_rows()) return;
  model_.await_values();
  held_weights_.emplace(model_.context().backend, model_.multiplied_weights());
}

void Generator::release() {
  held_weights_.reset();
  if (caches_.empty()) return;
  pipeline_.reset();
  std::size_t smallest = caches_.front().bytes();
  for (const KvCache& cache : caches_) smallest = std::min(smallest, cache.bytes());
  caches_.clear();
  model_.context().backend.release_idle(smallest);
}

void Generator::check(const std::vector<GenerationRequest>& requests) const {
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto length = std::ssize(requests[i].prompt);
    if (length > 0 && length < config_.context) continue;
    throw Error(ExitCode::data, fmt::format("prompt {} has {} tokens; from 1 to {} fit into a context of {} with a "
                                            "response; shorten it, or leave it out",
                                            requests[i].prompt_index, length, config_.context - 1, config_.context));
  }
}

// A decode step reads here: what was drawn, which rows come next, one stage (DecodePipeline::run, decode).
std::vector<GeneratedResponse> Generator::respond(const std::vector<GenerationRequest>& requests,
                                                  const Sampling& sampling) {
  check(requests);
  sampling.check(model_.context().config.vocabulary);
  model_.await_values();
  hold_weights();
  const ProcessGrid& grid = model_.context().grid;
  const int groups = grid.config().pipeline;
  SlotSchedule schedule(requests, own_requests(requests.size(), grid), sampling,
                        {groups, slots_per_group(), config_.context, config_.prompt_chunk});
  DecodePipeline& pipeline = pipeline_for(sampling);
  std::vector<const PassPlan*> plans(static_cast<std::size_t>(groups), nullptr);
  for (bool working = true; working;) {
    working = false;
    for (int chunk = 0; chunk < model_.stages(); ++chunk)
      for (int group = 0; group < groups; ++group) {
        const PassPlan*& plan = plans[static_cast<std::size_t>(group)];
        if (chunk == 0) {
          if (plan != nullptr) {
            const auto drawn = pipeline.drawn(group, std::ssize(plan->sampled));
            schedule.accept(group, drawn, drawn.empty() ? std::span<const float>() : pipeline.log_probs(group));
          }
          plan = &schedule.plan(group);
        }
        if (plan->rows() == 0) continue;
        pipeline.run(chunk, group, *plan);
        working = true;
      }
  }
  pipeline.finish();
  share(schedule.responses(), grid);
  return std::move(schedule.responses());
}

}  // namespace coxswain
