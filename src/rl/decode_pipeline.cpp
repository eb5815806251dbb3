#include "rl/decode_pipeline.h"

#include "base/error.h"

namespace coxswain {

namespace {

constexpr const char* kActivations = "decoded activations";
constexpr const char* kTokens = "drawn tokens";

}  // namespace

DecodePipeline::DecodePipeline(Model& model, std::vector<KvCache>& caches, const Sampling& sampling,
                               const Capacity& capacity)
    : model_(model), context_(model.context()), caches_(caches), sampling_(sampling), capacity_(capacity) {
  open_routes();
  Backend& backend = context_.backend;
  integers_ = Tensor(backend, DType::i32, {4, capacity.rows});
  bans_ = Tensor(backend, DType::i32, {capacity.sampled});
  uniform_ = Tensor(backend, DType::f64, {capacity.sampled});
  tokens_ = Tensor(backend, DType::i32, {capacity.sampled});
  log_probs_ = Tensor(backend, DType::f32, {capacity.sampled});
  const std::vector<std::int32_t> banned = banned_tokens(sampling);
  if (sampling.min_new_tokens > 0 && !banned.empty()) {
    banned_ = Tensor(backend, DType::i32, {std::ssize(banned)});
    backend.upload(banned.data(), banned_);
  }
}

void DecodePipeline::open_routes() const {
  const GridConfig& grid = context_.grid.config();
  if (grid.pipeline == 1) return;
  const int last = grid.pipeline - 1;
  std::vector<Route> routes;
  for (int rank = 0; rank < last; ++rank) {
    routes.push_back({kActivations, rank, rank + 1});
    routes.push_back({kTokens, last, rank});
  }
  if (grid.virtual_stages > 1) routes.push_back({kActivations, last, 0});
  context_.grid.pipeline().open(routes);
}

bool DecodePipeline::ends_here() const { return context_.grid.pipeline_rank() == context_.grid.config().pipeline - 1; }

DecodePipeline::Drawn& DecodePipeline::of(int group) {
  if (drawn_.size() <= static_cast<std::size_t>(group)) drawn_.resize(static_cast<std::size_t>(group) + 1);
  return drawn_[static_cast<std::size_t>(group)];
}

DecodeBatch DecodePipeline::upload(const PassPlan& plan) {
  const auto put = [this](const std::vector<std::int32_t>& values, TensorView place) {
    const TensorView used = place.slice(0, 0, std::ssize(values));
    context_.backend.upload(values.data(), used);
    return used;
  };
  DecodeBatch batch;
  batch.rows = plan.rows();
  batch.capacity = capacity_.rows;
  batch.sampled_capacity = capacity_.sampled;
  batch.tokens = put(plan.tokens, integers_[0]);
  batch.positions = put(plan.positions, integers_[1]);
  batch.slots = put(plan.slots, integers_[2]);
  batch.sampled = put(plan.sampled, integers_[3]);
  return batch;
}

void DecodePipeline::run(int chunk, int group, const PassPlan& plan) {
  const GridConfig& grid = context_.grid.config();
  const int ranks = grid.pipeline, rank = context_.grid.pipeline_rank();
  const int next = (rank + 1) % ranks, before = (rank + ranks - 1) % ranks;
  Stage& stage = model_.stage(chunk);
  const DecodeBatch batch = upload(plan);
  DecodeRows x;
  if (!stage.is_first()) {
    if (ranks == 1) {
      x = std::move(local_);
    } else {
      const MemoryScope scope(context_.backend, MemoryKind::communication);
      x = DecodeRows(context_, batch, context_.config.hidden);
      context_.grid.pipeline().receive(x.view, before, kActivations).wait();
    }
  }
  DecodeRows y = stage.decode(std::move(x), batch, caches_[static_cast<std::size_t>(chunk)]);
  if (stage.is_last()) {
    if (!plan.sampled.empty()) draw(y, plan, of(group));
  } else if (ranks == 1) {
    local_ = std::move(y);
  } else {
    send(y.view, std::move(y.owned), next, kActivations);
  }
}

void DecodePipeline::draw(TensorView logits, const PassPlan& plan, Drawn& drawn) {
  Backend& backend = context_.backend;
  const std::int64_t count = std::ssize(plan.sampled);
  Backend::Sample op;
  op.logits = logits;
  op.vocabulary = context_.config.vocabulary;
  op.uniform = uniform_.view().slice(0, 0, count);
  backend.upload(plan.uniform.data(), op.uniform);
  if (banned_) {
    op.banned = banned_;
    op.bans = bans_.view().slice(0, 0, count);
    backend.upload(plan.bans.data(), op.bans);
  }
  op.temperature = sampling_.temperature;
  op.top_k = sampling_.top_k;
  op.top_p = sampling_.top_p;
  op.tokens = tokens_.view().slice(0, 0, count);
  op.log_probs = log_probs_.view().slice(0, 0, count);
  backend.sample(op);
  drawn.tokens.resize(static_cast<std::size_t>(count));
  drawn.log_probs.resize(static_cast<std::size_t>(count));
  backend.download(op.tokens, drawn.tokens.data());
  backend.download(op.log_probs, drawn.log_probs.data());
  for (int to = 0; to + 1 < context_.grid.config().pipeline; ++to) {
    Tensor copy(backend, DType::i32, {capacity_.sampled});
    const TensorView used = copy.view().slice(0, 0, count);
    backend.copy(op.tokens, used);
    send(used, std::move(copy), to, kTokens);
  }
}

std::span<const std::int32_t> DecodePipeline::drawn(int group, std::int64_t count) {
  Drawn& known = of(group);
  if (!ends_here() && count > 0) {
    const TensorView place = tokens_.view().slice(0, 0, count);
    context_.grid.pipeline().receive(place, context_.grid.config().pipeline - 1, kTokens).wait();
    known.tokens.resize(static_cast<std::size_t>(count));
    context_.backend.download(place, known.tokens.data());
  }
  for (std::int64_t i = 0; i < count; ++i)
    if (known.tokens[static_cast<std::size_t>(i)] < 0)
      throw Error(ExitCode::diverged, "generation: logits are not finite").on_this_rank();
  return {known.tokens.data(), static_cast<std::size_t>(count)};
}

std::span<const float> DecodePipeline::log_probs(int group) const {
  if (!ends_here()) return {};
  return drawn_[static_cast<std::size_t>(group)].log_probs;
}

// No receiver can be further behind than this many messages: waiting for the oldest one never blocks for long.
void DecodePipeline::send(TensorView data, Tensor memory, int to, const char* name) {
  const auto in_flight = static_cast<std::size_t>(8 * context_.grid.config().pipeline);
  if (departures_.size() >= in_flight) {
    departures_.front().request.wait();
    departures_.pop_front();
  }
  Request request = context_.grid.pipeline().send(data, to, name);
  departures_.push_back({std::move(request), std::move(memory)});
}

void DecodePipeline::finish() {
  for (Departure& departure : departures_) departure.request.wait();
  departures_.clear();
}

}  // namespace coxswain
