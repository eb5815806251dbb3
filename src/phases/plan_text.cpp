#include "phases/plan_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/terminal.h"

namespace coxswain {

std::string byte_text(double bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit < 4; ++unit) bytes /= 1024;
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.2f} {}", bytes, units[unit]);
}

namespace {

std::string summary_text(const Plan& plan, const ModelConfig& model, const BatchConfig& batch, const GridConfig& grid) {
  std::string text;
  text += fmt::format("Model      {}: {} layers x {} hidden, {} heads of {}, vocabulary {}, {}\n", model.preset,
                      model.layers, model.hidden, model.heads, model.head_size, model.vocabulary,
                      model.precision == Precision::bf16 ? "bf16" : "fp32");
  text += fmt::format("Parameters {} ({})\n", count_text(static_cast<double>(plan.parameters)), plan.parameters);
  text += fmt::format("Grid       {} ranks = tensor {} x pipeline {} x data {}; {} tensor shards, {} data shards\n",
                      grid.ranks(), grid.tensor, grid.pipeline, grid.data, grid.tensor_shards, grid.data_shards);
  text +=
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

}  // namespace

std::string plan_text(const Plan& plan, const ModelConfig& model, const BatchConfig& batch, const GridConfig& grid,
                      std::size_t program_bytes, bool background_saves) {
  std::string text = summary_text(plan, model, batch, grid);
  text += "\nMemory a rank, by stage of the pipeline (tensor and data ranks of a stage are alike)\n";
  text += fmt::format("{:>5} {:>11} {:>11} {:>11} {:>11} {:>13} {:>11} {:>11} {:>11}  {}\n", "stage", "weights",
                      "gradients", "optimizer", "activations", "communication", "saving", "program", "total", "layers");
  std::size_t largest = 0;
  for (const RankPlan& rank : plan.ranks) {
    const std::size_t saving = background_saves ? rank.checkpoint_bytes : 0;
    const std::size_t total = rank.total() - rank.checkpoint_bytes + saving + program_bytes;
    largest = std::max(largest, total);
    const auto bytes = [](std::size_t value) { return byte_text(static_cast<double>(value)); };
    text +=
        fmt::format("{:>5} {:>11} {:>11} {:>11} {:>11} {:>13} {:>11} {:>11} {:>11}  {}\n", rank.pipeline,
                    bytes(rank.bytes[0]), bytes(rank.bytes[1]), bytes(rank.bytes[2]), bytes(rank.bytes[3]),
                    bytes(rank.bytes[4]), bytes(saving), bytes(program_bytes), bytes(total), layers_text(rank, model));
  }
  text += fmt::format("Largest    {} a rank, {} in all\n", byte_text(static_cast<double>(largest)),
                      byte_text(static_cast<double>(largest) * grid.ranks()));
  const double checkpoint = 12.0 * static_cast<double>(plan.parameters);
  text += fmt::format("Checkpoint {} on disk (FP32 weights and two moments)\n", byte_text(checkpoint));
  return text;
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

std::string parts_table(const PpoPlan::Rank& rank, std::size_t program_bytes) {
  std::string text = fmt::format("{:<14} {:>11} {:>23} {:>11} {:>11}\n", "part of a step", "models",
                                 "activations and caches", "program", "total");
  for (const PpoPlan::OfPart& part : rank.parts)
    text += fmt::format("{:<14} {:>11} {:>23} {:>11} {:>11}\n", part.name, column(part.resident), column(part.working),
                        column(program_bytes), column(part.total() + program_bytes));
  return text;
}

}  // namespace

std::string ppo_plan_text(const PpoPlan& plan, const PpoModelConfig& config, const GridConfig& grid,
                          const GridConfig& reward_grid, std::size_t program_bytes) {
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
  text += parts_table(rank, program_bytes);
  return text + fmt::format("Largest    {} a rank\n", column(rank.peak() + program_bytes));
}

}  // namespace coxswain
