#include "phases/ppo_benchmark.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "base/random.h"
#include "rl/roll_out.h"

namespace coxswain {

namespace {

constexpr RandomKey kPromptKey{1, 0x9903ull << 48};

}  // namespace

PpoBenchmark::PpoBenchmark(const PpoBenchmarkConfig& config, const ProcessGrid& grid, Backend& backend)
    : config_(config),
      grid_(grid),
      backend_(backend),
      reward_grid_(grid.world(), config.reward_grid),
      models_(config.models, grid, reward_grid_, backend),
      generator_(models_.policy(), {.slots = config.slots, .context = config.models.batch.length}) {
  models_.initialise();
  models_.park_frozen();
}

std::vector<GenerationRequest> PpoBenchmark::requests() const {
  const auto length = static_cast<std::size_t>(config_.models.batch.length - config_.new_tokens);
  const auto vocabulary = static_cast<std::uint64_t>(config_.models.policy.vocabulary);
  std::vector<GenerationRequest> asked;
  for (int i = 0; i < config_.models.ppo.episodes; ++i) {
    GenerationRequest request;
    request.prompt_index = i;
    for (std::size_t t = 0; t < length; ++t)
      request.prompt.push_back(static_cast<std::int32_t>(
          uniform_integer(kPromptKey, static_cast<std::uint64_t>(i) * length + t, vocabulary)));
    asked.push_back(std::move(request));
  }
  return asked;
}

double PpoBenchmark::cache_bytes_read() {
  Model& policy = models_.policy();
  const ModelConfig& model = config_.models.policy;
  int layers = 0;
  for (int chunk = 0; chunk < policy.stages(); ++chunk) layers += policy.stage(chunk).layers();
  const double of_token = 2.0 * layers * model.kv_heads / grid_.config().tensor * model.head_size *
                          static_cast<double>(size_of(model.working_type()));
  const double first = config_.models.batch.length - config_.new_tokens, count = config_.new_tokens;
  const double tokens = count * (first + (count - 1) / 2);  // the first is drawn at the prompt's last position
  return config_.models.ppo.episodes / grid_.config().data * tokens * of_token;
}

void PpoBenchmark::measure(const std::string& name, const std::function<void()>& work) {
  grid_.world().barrier("part of a step");
  backend_.reset_costs();
  backend_.set_timing(true);
  const auto start = std::chrono::steady_clock::now();
  work();
  grid_.world().barrier("part of a step");
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  backend_.set_timing(false);
  if (counted_ == 0) return;
  auto part = std::find_if(parts_.begin(), parts_.end(), [&](const auto& known) { return known.first == name; });
  if (part == parts_.end()) part = parts_.insert(parts_.end(), {name, Part()});
  part->second.seconds += seconds;
  for (const auto& [operation, cost] : backend_.costs()) {
    part->second.costs[operation].flops += cost.flops;
    part->second.costs[operation].bytes += cost.bytes;
  }
}

StepReport PpoBenchmark::run_step() {
  if (step_ > 0 || config_.rollouts == 1) ++counted_;
  Sampling sampling;
  sampling.step = step_;
  sampling.min_new_tokens = sampling.max_new_tokens = config_.new_tokens;
  measure("responses", [&] { rollout_ = roll_out(generator_, requests(), sampling); });
  if (counted_ > 0) parts_.front().second.costs["cached_attention"].bytes += cache_bytes_read();
  measure("assessment", [&] { models_.assess(rollout_); });
  for (Episode& episode : rollout_.episodes) {
    episode.advantages.assign(episode.values.size(), 0.5f);
    episode.returns = episode.values;
  }
  update();
  ++step_;
  StepReport report;
  report.tokens = std::int64_t{config_.models.ppo.episodes} * config_.models.batch.length;
  return report;
}

// All minibatches of a rollout. Policy and text are timed apart here: their gradients meet in one buffer all the same.
void PpoBenchmark::update() {
  const PpoConfig& ppo = config_.models.ppo;
  std::vector<std::int64_t> order(static_cast<std::size_t>(ppo.episodes));
  std::iota(order.begin(), order.end(), 0);
  const auto text = [&](std::int64_t first, int count) {
    Rollout rows;
    rows.episodes.assign(rollout_.episodes.begin(), rollout_.episodes.begin() + 1);
    const std::vector<std::int64_t> same(static_cast<std::size_t>(first + count), 0);
    return episode_batch(rows, same, first, count, config_.models.batch.length, EpisodeColumns::none);
  };
  for (int first = 0; first < ppo.episodes; first += ppo.minibatch) {
    const std::span episodes =
        std::span(order).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(ppo.minibatch));
    const PpoModels::Minibatch without{&rollout_, episodes, step_ + 1, {}}, with{&rollout_, episodes, step_ + 1, text};
    measure("policy update", [&] { models_.update_policy(without, 0); });
    if (ppo.pretrains()) measure("the same with text", [&] { models_.update_policy(with, 0); });
    measure("value update", [&] { models_.update_value(without, 0); });
  }
}

double PpoBenchmark::floor_of(const Part& part, double gemm_rate, double copy_rate) const {
  double seconds = 0;
  for (const auto& [name, cost] : part.costs)
    seconds += std::max(gemm_rate > 0 ? cost.flops / gemm_rate : 0, copy_rate > 0 ? cost.bytes / copy_rate : 0);
  return seconds;
}

void PpoBenchmark::finish() {
  constexpr std::int64_t kSize = 1024;
  const DType type = config_.models.policy.working_type();
  const double product = backend_.library_product_seconds(LinearProduct::forward, type, kSize, kSize, kSize);
  const double gemm_rate = product > 0 ? 2.0 * kSize * kSize * kSize / product : 0;
  const double copy_rate = backend_.copy_bytes_per_second();
  const auto count = static_cast<double>(std::max<std::int64_t>(1, counted_));
  double sum = 0;
  for (const auto& [name, part] : parts_)
    if (name != "policy update" || !config_.models.ppo.pretrains()) sum += part.seconds / count;
  table_ = fmt::format(
      "\nOne rollout of {} episodes and its updates, rank 0; floors measured in this run: GEMM {:.1f} "
      "GFLOP/s ({}), copy {:.1f} GB/s\n{:<20} {:>10} {:>8} {:>10} {:>8}\n",
      config_.models.ppo.episodes, gemm_rate * 1e-9, name_of(type), copy_rate * 1e-9, "part", "seconds", "% step",
      "floor s", "% floor");
  for (const auto& [name, part] : parts_) {
    const double seconds = part.seconds / count, floor = floor_of(part, gemm_rate, copy_rate) / count;
    table_ += fmt::format("{:<20} {:>10.3f} {:>8.1f} {:>10.3f} {:>8.1f}\n", name, seconds, 100 * seconds / sum, floor,
                          100 * floor / seconds);
  }
  table_ += fmt::format("{:<20} {:>10.3f}\n", "step", sum);
}

}  // namespace coxswain
