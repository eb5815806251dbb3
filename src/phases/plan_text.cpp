#include "phases/plan_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <string_view>

#include "io/terminal.h"

namespace coxswain {

std::string byte_text(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.2f} {}", bytes, units[unit]);
}

namespace {

std::string model_text(const ModelConfig& model, const GridConfig& grid) {
  std::string text = fmt::format("Model      {}: {} layers x {} hidden, {} heads of {}, vocabulary {}, {}\n",
                                 model.preset, model.layers, model.hidden, model.heads, model.head_size,
                                 model.vocabulary, model.precision == Precision::bf16 ? "bf16" : "fp32");
  const std::int64_t parameters = model.parameter_count();
  text += fmt::format("Parameters {} ({})\n", count_text(static_cast<double>(parameters)), parameters);
  return text +
         fmt::format("Grid       {} ranks = tensor {} x pipeline {} x data {}; {} tensor shards, {} data shards\n",
                     grid.ranks(), grid.tensor, grid.pipeline, grid.data, grid.tensor_shards, grid.data_shards);
}

std::string step_text(const Plan& plan, const BatchConfig& batch, const GridConfig& grid) {
  std::string text =
      fmt::format("Step       {} sequences x {} tokens = {} tokens, {} micro-batches of {} a data rank\n", batch.global,
                  batch.length, count_text(static_cast<double>(plan.tokens_per_step)), plan.micro_batches, batch.micro);
  text +=
      fmt::format("Work       {}FLOP a step, {}FLOP a token, {}FLOP a step and rank\n", count_text(plan.flops_per_step),
                  count_text(plan.flops_per_step / static_cast<double>(plan.tokens_per_step)),
                  count_text(plan.flops_per_step / grid.ranks()));
  if (grid.pipeline > 1)
    text +=
        fmt::format("Pipeline   {} virtual stages a rank, bubble {:.1f} %\n", grid.virtual_stages, 100 * plan.bubble);
  return text;
}

std::string layers_text(const RankPlan& rank, const ModelConfig& model) {
  std::string text;
  for (const auto& [first, count] : rank.layers) {
    if (first == 0) text += "embedding ";
    if (count > 0) text += fmt::format("{}-{} ", first, first + count - 1);
    if (first + count == model.layers) text += "head ";
  }
  return text;
}

// A column of the table: a kind of memory, where any rank has some.
struct Column {
  std::string_view name;
  std::function<std::size_t(const RankPlan&)> bytes;
  std::size_t width() const { return std::max<std::size_t>(name.size(), 11); }
};

std::vector<Column> columns_of(const std::vector<RankPlan>& ranks, std::size_t program_bytes, bool saves) {
  std::vector<Column> all;
  const char* names[kMemoryKinds] = {"weights",       "gradients", "optimizer", "activations",
                                     "communication", "cache",     "compressed"};
  for (std::size_t kind = 0; kind < kMemoryKinds; ++kind)
    all.push_back({names[kind], [kind](const RankPlan& rank) { return rank.bytes[kind]; }});
  all.push_back({"saving", [saves](const RankPlan& rank) { return saves ? rank.checkpoint_bytes : 0; }});
  all.push_back({"program", [program_bytes](const RankPlan&) { return program_bytes; }});
  std::erase_if(all, [&](const Column& column) {
    return std::all_of(ranks.begin(), ranks.end(), [&](const RankPlan& rank) { return column.bytes(rank) == 0; });
  });
  return all;
}

// Each of the rank that needs most. On a processor device and host are one; a GPU has its memory for itself.
std::string largest_text(std::size_t total, std::size_t device, std::size_t host, int ranks) {
  const auto text = [](std::size_t bytes) { return byte_text(static_cast<double>(bytes)); };
  return fmt::format("Largest    {} a rank, {} in all\n", text(total), byte_text(static_cast<double>(total) * ranks)) +
         fmt::format("On GPUs    {} of the GPU's memory, {} of the host's\n", text(device), text(host));
}

std::string memory_table(const std::vector<RankPlan>& ranks, const ModelConfig& model, const GridConfig& grid,
                         std::size_t program_bytes, bool saves) {
  const std::vector<Column> columns = columns_of(ranks, program_bytes, saves);
  std::string text = "\nMemory a rank, by stage of the pipeline (tensor and data ranks of a stage are alike)\nstage";
  for (const Column& column : columns) text += fmt::format(" {:>{}}", column.name, column.width());
  text += fmt::format(" {:>11}  layers\n", "total");
  std::size_t largest = 0, device = 0, host = 0;
  for (const RankPlan& rank : ranks) {
    std::size_t total = 0;
    text += fmt::format("{:>5}", rank.pipeline);
    for (const Column& column : columns) {
      text += fmt::format(" {:>{}}", byte_text(static_cast<double>(column.bytes(rank))), column.width());
      total += column.bytes(rank);
    }
    text += fmt::format(" {:>11}  {}\n", byte_text(static_cast<double>(total)), layers_text(rank, model));
    const std::size_t on_host = program_bytes + (saves ? rank.checkpoint_bytes : 0);
    largest = std::max(largest, total);
    device = std::max(device, rank.on_gpu());
    host = std::max(host, on_host);
  }
  return text + largest_text(largest, device, host, grid.ranks());
}

}  // namespace

std::string plan_text(const Plan& plan, const ModelConfig& model, const BatchConfig& batch, const GridConfig& grid,
                      std::size_t program_bytes, bool background_saves) {
  return model_text(model, grid) + step_text(plan, batch, grid) +
         memory_table(plan.ranks, model, grid, program_bytes, background_saves) +
         fmt::format("Checkpoint {} on disk (FP32 weights and two moments)\n",
                     byte_text(12.0 * static_cast<double>(plan.parameters)));
}

std::string inference_plan_text(const std::vector<RankPlan>& ranks, const InferenceConfig& config,
                                std::size_t program_bytes) {
  std::string text = model_text(config.model, config.grid);
  const auto other = [&text](const char* name, const std::optional<ModelConfig>& model) {
    if (model)
      text += fmt::format("{:<10} {}: {} parameters\n", name, model->preset,
                          count_text(static_cast<double>(model->parameter_count())));
  };
  other("Reference", config.reference);
  other("Judge", config.judge);
  if (config.generator)
    text += fmt::format("Responses  {} at work at once a data rank, of up to {} tokens with their prompt\n",
                        config.generator->slots, config.generator->context);
  if (config.micro > 0)
    text += fmt::format("Texts      {} at once a data rank, of up to {} tokens\n", config.micro, config.length);
  text += fmt::format("Work       {}FLOP a token\n",  // forward alone
                      count_text(config.model.flops_per_token(config.length) / 3));
  return text + memory_table(ranks, config.model, config.grid, program_bytes, false);
}

namespace {

std::string grid_line(const char* name, const ModelConfig& model, const GridConfig& grid) {
  return fmt::format("{:<18} {}: {} layers x {} hidden on tensor {} x pipeline {} x data {}; {} and {} shards\n", name,
                     model.preset, model.layers, model.hidden, grid.tensor, grid.pipeline, grid.data,
                     grid.tensor_shards, grid.data_shards);
}

std::string column(std::size_t bytes) { return byte_text(static_cast<double>(bytes)); }

std::string models_table(const PpoPlan::Rank& rank) {
  std::string text =
      fmt::format("{:<14} {:>11} {:>11} {:>11} {:>11}\n", "model", "parameters", "weights", "gradients", "optimizer");
  for (const PpoPlan::OfModel& model : rank.models)
    text += fmt::format("{:<14} {:>11} {:>11} {:>11} {:>11}{}\n", model.name,
                        count_text(static_cast<double>(model.parameters)), column(model.bytes[0]),
                        column(model.bytes[1]), column(model.bytes[2]), model.parked ? "  (in host memory)" : "");
  return text;
}

std::string parts_table(const PpoPlan::Rank& rank, std::size_t saving, std::size_t program_bytes) {
  std::string text = fmt::format("{:<14} {:>11} {:>23} {:>11} {:>11} {:>11}\n", "part of a step", "models",
                                 "activations and caches", "saving", "program", "total");
  for (const PpoPlan::OfPart& part : rank.parts)
    text += fmt::format("{:<14} {:>11} {:>23} {:>11} {:>11} {:>11}\n", part.name, column(part.resident),
                        column(part.working), column(saving), column(program_bytes),
                        column(part.total() + saving + program_bytes));
  return text;
}

// Masters, moments and average of the models that learn: what a save in the background is written from.
std::size_t saved_bytes(const PpoPlan::Rank& rank) {
  std::size_t bytes = 0;
  for (const PpoPlan::OfModel& model : rank.models)
    bytes += model.bytes[static_cast<std::size_t>(MemoryKind::optimizer)];
  return bytes;
}

std::size_t parked_bytes(const PpoPlan::Rank& rank) {
  std::size_t bytes = 0;
  for (const PpoPlan::OfModel& model : rank.models)
    if (model.parked) bytes = std::accumulate(model.bytes.begin(), model.bytes.end(), bytes);
  return bytes;
}

}  // namespace

std::string ppo_plan_text(const PpoPlan& plan, const PpoModelConfig& config, const GridConfig& grid,
                          const GridConfig& reward_grid, std::size_t program_bytes, bool background_saves) {
  const PpoPlan::Rank& rank = plan.largest();
  std::string text = grid_line("Policy, reference", config.policy, grid);
  text += grid_line("Reward, value", config.reward, reward_grid);
  text += fmt::format("{:<18} {} episodes of up to {} tokens a rollout, {} a minibatch, {} updates\n", "Step",
                      config.ppo.episodes, config.batch.length, config.ppo.minibatch, config.ppo.updates_per_rollout());
  if (config.ppo.pretrains())
    text += fmt::format("{:<18} {} sequences of {} tokens a minibatch, coefficient {}\n", "Pre-training text",
                        config.ppo.minibatch * config.ppo.pretrain_per_episode, config.batch.length,
                        config.ppo.pretrain_coefficient);
  text += fmt::format("\nMemory of the largest rank ({} of {})\n", rank.rank, grid.ranks()) + models_table(rank) + "\n";
  const std::size_t saving = background_saves ? saved_bytes(rank) : 0;
  text += parts_table(rank, saving, program_bytes);
  const std::size_t host = saving + program_bytes + parked_bytes(rank);
  return text + largest_text(rank.peak() + host, rank.peak(), host, grid.ranks());
}

}  // namespace coxswain
