#include "phases/generate_benchmark.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "rl/random_prompts.h"

namespace coxswain {

namespace {

constexpr std::uint64_t kPromptStream = 0x9905ull << 48;

}  // namespace

double cache_bytes_read(Model& model, const ModelConfig& config, const GridConfig& grid,
                        const EqualResponses& responses) {
  int layers = 0;
  for (int chunk = 0; chunk < model.stages(); ++chunk) layers += model.stage(chunk).layers();
  const double of_token = 2.0 * layers * config.kv_heads / grid.tensor * config.head_size *
                          static_cast<double>(size_of(config.working_type()));
  const auto first = static_cast<double>(responses.prompt), count = static_cast<double>(responses.new_tokens);
  const double tokens = count * (first + (count - 1) / 2);
  return static_cast<double>(responses.count) / grid.data * tokens * of_token;
}

GenerateBenchmark::GenerateBenchmark(const GenerateBenchmarkConfig& config, const ProcessGrid& grid, Backend& backend)
    : config_(config),
      grid_(grid),
      backend_(backend),
      model_(config.model, grid, backend),
      generator_(model_.model(), {.slots = config.generate.busy_slots(grid.config().data),
                                  .context = std::min(config.length, config.model.context),
                                  .compress_weights = config.generate.compress_weights}) {
  model_.initialise(config.seed);
  generator_.reserve();
  generator_.hold_weights();
}

double GenerateBenchmark::respond(int new_tokens, std::map<std::string, OperationCost>& costs) {
  const GenerateConfig& wanted = config_.generate;
  std::vector<GenerationRequest> asked;
  for (auto& prompt : random_prompts({config_.seed, kPromptStream}, wanted.synthetic_prompts,
                                     wanted.synthetic_prompt_tokens, config_.model.vocabulary))
    asked.push_back({std::move(prompt), std::ssize(asked), 0});
  Sampling sampling;
  sampling.step = step_;
  sampling.min_new_tokens = sampling.max_new_tokens = new_tokens;
  backend_.reset_costs();
  backend_.set_timing(true);
  grid_.world().barrier("round of generation");
  const auto start = std::chrono::steady_clock::now();
  generator_.respond(asked, sampling);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  backend_.set_timing(false);
  if (counts())
    for (const auto& [name, cost] : backend_.costs()) costs[name] += cost;
  return seconds;
}

StepReport GenerateBenchmark::run_step() {
  const GenerateConfig& wanted = config_.generate;
  respond(1, of_prompts_);
  const double seconds = respond(wanted.max_new_tokens, of_all_);
  if (counts()) {  // the memory's rate may change from round to round, as others leave it
    seconds_.push_back(seconds);
    reading_.push_back(backend_.read_bytes_per_second());
  }
  ++step_;
  StepReport report;
  report.tokens = std::int64_t{wanted.synthetic_prompts} * wanted.max_new_tokens;
  return report;
}

// Prompts are bound by arithmetic, decoding by the memory: a floor of both together would be too low.
std::vector<TimedOperation> GenerateBenchmark::operations(const MachineRates& rates) {
  const GenerateConfig& wanted = config_.generate;
  const EqualResponses responses{wanted.synthetic_prompts, wanted.synthetic_prompt_tokens, wanted.max_new_tokens};
  std::vector<TimedOperation> operations;
  for (auto [name, cost] : of_all_) {
    if (name == "cached_attention")
      cost.bytes += static_cast<double>(seconds_.size()) *
                    cache_bytes_read(model_.model(), config_.model, grid_.config(), responses);
    const auto prompts = of_prompts_.find(name);
    const OperationCost first = prompts == of_prompts_.end() ? OperationCost() : prompts->second;
    const OperationCost rest{0, std::max(cost.flops - first.flops, 0.0), std::max(cost.bytes - first.bytes, 0.0), 0};
    operations.push_back({name, cost, rates.floor(first) + rates.floor(rest)});
  }
  return operations;
}

void GenerateBenchmark::finish() {
  const GenerateConfig& wanted = config_.generate;
  const DType type = config_.model.working_type();
  std::sort(reading_.begin(), reading_.end());
  const MachineRates rates{product_rate(backend_, type), reading_[reading_.size() / 2]};
  const auto rounds = static_cast<double>(seconds_.size());
  const std::vector<TimedOperation> all = operations(rates);
  double floor = 0;
  for (const TimedOperation& operation : all) floor += operation.floor / rounds;
  std::sort(seconds_.begin(), seconds_.end());
  const double median = seconds_[seconds_.size() / 2];
  const double tokens = static_cast<double>(wanted.synthetic_prompts) * wanted.max_new_tokens;
  table_ = fmt::format(
      "\n{} prompts of {} tokens, {} new tokens each, {} slots: rank 0, mean of {:.0f}; floors measured in this run: "
      "GEMM {:.1f} GFLOP/s ({}), reading {:.1f} GB/s\n",
      wanted.synthetic_prompts, wanted.synthetic_prompt_tokens, wanted.max_new_tokens,
      wanted.busy_slots(grid_.config().data), rounds, rates.flops * 1e-9, name_of(type), rates.bytes * 1e-9);
  table_ += operation_table(all, rounds, median);
  table_ +=
      fmt::format("all, median                {:>19.2f} ms   {:.0f} tokens/s   {:.1f} % of the floor ({:.2f} ms)\n",
                  1e3 * median, tokens / median, 100 * floor / median, 1e3 * floor);
}

}  // namespace coxswain
