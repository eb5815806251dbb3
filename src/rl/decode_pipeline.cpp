#include "rl/decode_pipeline.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/error.h"

namespace coxswain {

namespace {

constexpr const char* kActivations = "decoded activations";
constexpr const char* kTokens = "drawn tokens";

// The next one of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...: at most half as many rows are added as there are.
std::int64_t rounded_up(std::int64_t count, std::int64_t most) {
  if (count == 0) return 0;
  const auto power = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(count)));
  return std::min(count <= power / 4 * 3 ? power / 4 * 3 : power, most);
}

std::int64_t round_to_lines(std::int64_t integers) { return (integers + 15) / 16 * 16; }  // of 64 bytes

// Writes one input after another, each in as many places as the capacity has, and its last value as often as the pass
// is rounded up.
class Staging {
 public:
  Staging(std::vector<std::int32_t>& host, const TensorView& device) : host_(host), device_(device) {}

  template <class T>
  TensorView put(const std::vector<T>& values, std::int64_t count, std::int64_t capacity, DType dtype) {
    constexpr auto kWidth = static_cast<std::int64_t>(sizeof(T) / sizeof(std::int32_t));
    auto* to = host_.data() + next_;
    for (std::int64_t i = 0; i < count; ++i)
      std::memcpy(to + i * kWidth, &values[static_cast<std::size_t>(std::min(i, std::ssize(values) - 1))], sizeof(T));
    const TensorView place(device_.as<std::int32_t>() + next_, dtype, {count});
    next_ += round_to_lines(capacity * kWidth);
    return place;
  }

 private:
  std::vector<std::int32_t>& host_;
  TensorView device_;
  std::int64_t next_ = 0;
};

}  // namespace

DecodePipeline::DecodePipeline(Model& model, std::vector<KvCache>& caches, const Sampling& sampling,
                               const Capacity& capacity)
    : model_(model), context_(model.context()), caches_(caches), capacity_(capacity), fixed_(fixed(sampling)) {
  open_routes();
  Backend& backend = context_.backend;
  const GridConfig& grid = context_.grid.config();
  const std::int64_t of_sampled = round_to_lines(2 * capacity.sampled) + 2 * round_to_lines(capacity.sampled);
  staged_.resize(static_cast<std::size_t>(of_sampled + 3 * round_to_lines(capacity.rows)));
  inputs_ = Tensor(backend, DType::i32, {std::ssize(staged_)});
  results_ = Tensor(backend, DType::i32, {2, capacity.sampled});
  if (grid.pipeline * grid.virtual_stages > 1) passed_ = context_.tensor({capacity.rows, context_.config.hidden});
  if (fixed_.banned.empty()) return;
  banned_ = Tensor(backend, DType::i32, {std::ssize(fixed_.banned)});
  backend.upload(fixed_.banned.data(), banned_);
}

DecodePipeline::Fixed DecodePipeline::fixed(const Sampling& sampling) const {
  Fixed all{sampling.temperature, sampling.top_p, sampling.top_k, {}, {}};
  if (sampling.min_new_tokens > 0) all.banned = banned_tokens(sampling);
  for (const auto& buffer : model_.buffers()) all.weights.push_back(buffer->values().data);
  return all;
}

bool DecodePipeline::serves(const Sampling& sampling) const { return fixed(sampling) == fixed_; }

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

TensorView DecodePipeline::passed(std::int64_t rows) const { return passed_.view().slice(0, 0, rows); }

DecodeBatch DecodePipeline::upload(const PassPlan& plan) {
  const bool rounds = context_.backend.records();
  const std::int64_t most = plan.rows() <= capacity_.sampled ? capacity_.sampled : capacity_.rows;
  const std::int64_t rows = rounds ? rounded_up(plan.rows(), most) : plan.rows();
  const std::int64_t drawn = std::ssize(plan.sampled);
  const std::int64_t sampled = rounds ? rounded_up(drawn, capacity_.sampled) : drawn;
  Staging staging(staged_, inputs_);
  DecodeBatch batch;
  batch.rows = rows;
  batch.capacity = capacity_.rows;
  batch.sampled_capacity = capacity_.sampled;
  batch.uniform = staging.put(plan.uniform, sampled, capacity_.sampled, DType::f64);
  batch.tokens = staging.put(plan.tokens, rows, capacity_.rows, DType::i32);
  batch.positions = staging.put(plan.positions, rows, capacity_.rows, DType::i32);
  batch.slots = staging.put(plan.slots, rows, capacity_.rows, DType::i32);
  batch.sampled = staging.put(plan.sampled, sampled, capacity_.sampled, DType::i32);
  batch.bans = staging.put(plan.bans, sampled, capacity_.sampled, DType::i32);
  context_.backend.upload(staged_.data(), inputs_);
  return batch;
}

void DecodePipeline::run(int chunk, int group, const PassPlan& plan) {
  const int ranks = context_.grid.config().pipeline, rank = context_.grid.pipeline_rank();
  const Stage& stage = model_.stage(chunk);
  const DecodeBatch batch = upload(plan);
  if (!stage.is_first() && ranks > 1)
    context_.grid.pipeline().receive(passed(batch.rows), (rank + ranks - 1) % ranks, kActivations).wait();
  Recording& recording = recordings_[{chunk, batch.rows, batch.sampled.elements()}];
  context_.backend.record(recording, [&] { decode(chunk, batch); });
  if (stage.is_last())
    fetch(group, std::ssize(plan.sampled));
  else if (ranks > 1)
    send(passed(batch.rows), (rank + 1) % ranks, kActivations);
}

void DecodePipeline::decode(int chunk, const DecodeBatch& batch) {
  Stage& stage = model_.stage(chunk);
  DecodeRows x;
  if (!stage.is_first()) x.view = passed(batch.rows);
  const DecodeRows y = stage.decode(std::move(x), batch, caches_[static_cast<std::size_t>(chunk)]);
  if (!stage.is_last()) {
    const TensorView to = passed(batch.rows);
    if (y.view.data != to.data) context_.backend.copy(y, to);
  } else if (batch.sampled.elements() > 0) {
    draw(y, batch);
  }
}

void DecodePipeline::draw(TensorView logits, const DecodeBatch& batch) {
  const std::int64_t count = batch.sampled.elements();
  Backend::Sample op;
  op.logits = logits;
  op.vocabulary = context_.config.vocabulary;
  op.uniform = batch.uniform;
  if (banned_) {
    op.banned = banned_;
    op.bans = batch.bans;
  }
  op.temperature = fixed_.temperature;
  op.top_k = fixed_.top_k;
  op.top_p = fixed_.top_p;
  op.tokens = results_[0].slice(0, 0, count);
  op.log_probs = TensorView(results_[1].data, DType::f32, {count});
  context_.backend.sample(op);
}

// What the last stage has drawn, for the others and for this rank's host.
void DecodePipeline::fetch(int group, std::int64_t count) {
  if (count == 0) return;
  for (int to = 0; to + 1 < context_.grid.config().pipeline; ++to) send(results_[0].slice(0, 0, count), to, kTokens);
  Drawn& drawn = of(group);
  const auto capacity = static_cast<std::size_t>(capacity_.sampled);
  std::vector<std::int32_t>& both = drawn.tokens;
  both.resize(2 * capacity);
  context_.backend.download(results_, both.data());
  drawn.log_probs.resize(static_cast<std::size_t>(count));
  std::memcpy(drawn.log_probs.data(), both.data() + capacity, drawn.log_probs.size() * sizeof(float));
  both.resize(static_cast<std::size_t>(count));
}

std::span<const std::int32_t> DecodePipeline::drawn(int group, std::int64_t count) {
  Drawn& known = of(group);
  if (!ends_here() && count > 0) {
    const TensorView place = results_[0].slice(0, 0, count);
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

// A copy, since the next pass writes to the same place. No receiver can be further behind than this many messages:
// waiting for the oldest one never blocks for long.
void DecodePipeline::send(TensorView from, int to, const char* name) {
  const auto in_flight = static_cast<std::size_t>(8 * context_.grid.config().pipeline);
  if (departures_.size() >= in_flight) {
    departures_.front().request.wait();
    departures_.pop_front();
  }
  const MemoryScope scope(context_.backend, MemoryKind::communication);
  const bool of_rows = from.rank() == 2;
  DecodeRows copy(Tensor(context_.backend, from.dtype, {of_rows ? capacity_.rows * from.shape[1] : capacity_.sampled}),
                  from.shape);
  context_.backend.copy(from, copy);
  Request request = context_.grid.pipeline().send(copy, to, name);
  departures_.push_back({std::move(request), std::move(copy.owned)});
}

void DecodePipeline::finish() {
  for (Departure& departure : departures_) departure.request.wait();
  departures_.clear();
}

}  // namespace coxswain
