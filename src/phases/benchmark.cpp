#include "phases/benchmark.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "phases/operation_table.h"

namespace coxswain {

Benchmark::Benchmark(const PretrainConfig& config, const ProcessGrid& grid, Backend& backend, Log& log)
    : config_(config), grid_(grid), backend_(backend), training_(config, grid, backend, log) {}

// The first two steps settle pools and caches; the others count.
StepReport Benchmark::run_step() {
  if (step() == 2 || total_steps() <= 2) {
    backend_.reset_costs();
    backend_.set_timing(true);
  }
  const auto start = std::chrono::steady_clock::now();
  StepReport report = training_.run_step();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (step() > 2 || total_steps() <= 2) steps_.push_back(seconds);
  return report;
}

// The linear layers of this rank's stages, shard by shard, as the vendor's library would do them.
Benchmark::Floor Benchmark::products_floor(LinearProduct product, std::int64_t micro_batches) {
  const ModelConfig& model = config_.model;
  const std::int64_t shards = grid_.config().tensor_shards;
  const std::int64_t m = std::int64_t{config_.batch.micro} * config_.batch.length;
  const std::int64_t heads = model.heads * model.head_size, kv = 2 * std::int64_t{model.kv_heads} * model.head_size;
  struct Product {
    std::int64_t n, k, count;
  };
  const std::int64_t chunks = std::int64_t{grid_.config().pipeline} * grid_.config().virtual_stages;
  const std::int64_t layers = model.layers * grid_.config().virtual_stages / chunks;
  std::vector<Product> products{{(heads + kv) / shards, model.hidden, layers},
                                {model.hidden, heads / shards, layers},
                                {model.feed_forward / shards, model.hidden, layers * (model.gated ? 2 : 1)},
                                {model.hidden, model.feed_forward / shards, layers}};
  if (grid_.pipeline_rank() == grid_.config().pipeline - 1)
    products.push_back({model.padded_vocabulary(grid_.config().tensor_shards) / shards, model.hidden, 1});
  Floor floor;
  for (const Product& p : products) {
    const auto calls = static_cast<double>(p.count * grid_.local_tensor_shards() * micro_batches);
    floor.seconds += calls * backend_.library_product_seconds(product, model.working_type(), m, p.n, p.k);
    floor.flops += calls * 2.0 * static_cast<double>(m * p.n * p.k);
  }
  return floor;
}

void Benchmark::finish() {
  backend_.set_timing(false);
  const auto costs = backend_.costs();
  const auto steps = static_cast<double>(steps_.size());
  std::sort(steps_.begin(), steps_.end());
  const double median = steps_[steps_.size() / 2];
  const double copy_rate = backend_.copy_bytes_per_second();
  const std::int64_t micro_batches = config_.batch.global / grid_.config().data / config_.batch.micro;
  const std::map<std::string, Floor> linear{
      {"linear", products_floor(LinearProduct::forward, micro_batches)},
      {"linear_input_gradient", products_floor(LinearProduct::input_gradient, micro_batches)},
      {"linear_weight_gradient", products_floor(LinearProduct::weight_gradient, micro_batches)}};
  Floor gemm;
  for (const auto& [name, floor] : linear) gemm.seconds += floor.seconds, gemm.flops += floor.flops;
  const double gemm_rate = gemm.seconds > 0 ? gemm.flops / gemm.seconds : 0;

  const MachineRates rates{gemm_rate, copy_rate};
  std::vector<TimedOperation> operations;
  for (const auto& [name, cost] : costs) {
    const auto known = linear.find(name);
    // Attention multiplies matrices too; what only moves bytes is bound by the copy.
    operations.push_back({name, cost, known != linear.end() ? known->second.seconds * steps : rates.floor(cost)});
  }
  const double tokens = static_cast<double>(config_.batch.tokens_per_step());
  table_ = fmt::format(
      "\nOne step of rank 0, mean of {:.0f}; floors measured in this run: GEMM {:.1f} GFLOP/s ({}), copy {:.1f} GB/s\n",
      steps, gemm_rate * 1e-9, name_of(config_.model.working_type()), copy_rate * 1e-9);
  table_ += operation_table(std::move(operations), steps, median);
  table_ += fmt::format(
      "step, median               {:>19.2f} ms   {:.0f} tokens/s   {:.1f} % of the GEMM floor ({:.2f} ms)\n",
      1e3 * median, tokens / median, 100 * gemm.seconds / median, 1e3 * gemm.seconds);
}

}  // namespace coxswain
