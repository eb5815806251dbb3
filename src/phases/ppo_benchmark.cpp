#include "phases/ppo_benchmark.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "phases/generate_benchmark.h"
#include "phases/operation_table.h"
#include "rl/random_prompts.h"
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
  std::vector<GenerationRequest> asked;
  for (auto& prompt :
       random_prompts(kPromptKey, config_.models.ppo.episodes, config_.models.batch.length - config_.new_tokens,
                      config_.models.policy.vocabulary))
    asked.push_back({std::move(prompt), std::ssize(asked), 0});
  return asked;
}

double PpoBenchmark::cache_bytes_read() {
  return coxswain::cache_bytes_read(models_.policy(), config_.models.policy, grid_.config(),
                                    {.count = config_.models.ppo.episodes,
                                     .prompt = config_.models.batch.length - config_.new_tokens,
                                     .new_tokens = config_.new_tokens});
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
  for (const auto& [operation, cost] : backend_.costs()) part->second.costs[operation] += cost;
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

void PpoBenchmark::finish() {
  const DType type = config_.models.policy.working_type();
  const MachineRates rates{product_rate(backend_, type), backend_.copy_bytes_per_second()};
  const auto count = static_cast<double>(std::max<std::int64_t>(1, counted_));
  double sum = 0;
  for (const auto& [name, part] : parts_)
    if (name != "policy update" || !config_.models.ppo.pretrains()) sum += part.seconds / count;
  table_ = fmt::format(
      "\nOne rollout of {} episodes and its updates, rank 0; floors measured in this run: GEMM {:.1f} "
      "GFLOP/s ({}), copy {:.1f} GB/s\n{:<20} {:>10} {:>8} {:>10} {:>8}\n",
      config_.models.ppo.episodes, rates.flops * 1e-9, name_of(type), rates.bytes * 1e-9, "part", "seconds", "% step",
      "floor s", "% floor");
  for (const auto& [name, part] : parts_) {
    double floor = 0;
    for (const auto& [operation, cost] : part.costs) floor += rates.floor(cost) / count;
    const double seconds = part.seconds / count;
    table_ += fmt::format("{:<20} {:>10.3f} {:>8.1f} {:>10.3f} {:>8.1f}\n", name, seconds, 100 * seconds / sum, floor,
                          100 * floor / seconds);
  }
  table_ += fmt::format("{:<20} {:>10.3f}\n", "step", sum);
}

}  // namespace coxswain
