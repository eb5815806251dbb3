#include "program/check.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

#include "base/error.h"
#include "io/terminal.h"
#include "phases/plan_text.h"
#include "program/make_phase.h"
#include "settings/deck_files.h"
#include "train/frozen_model.h"

namespace coxswain {

namespace {

// What the process holds beside its tensors: the program itself and its libraries, of which oneDNN comes into memory
// with the first product (generation has none of its own). The rest comes with the steps: generated kernels, HDF5's and
// MPI's buffers (measured).
std::size_t program_bytes(const Settings& settings) {
  constexpr std::int64_t kSize = 256;
  const bool generates = settings.run.phase == "generate";
  const std::size_t later = std::size_t{generates ? 6u : 20u} << 20;
  if (!generates)
    make_cpu_backend()->library_product_seconds(LinearProduct::forward, settings.model.working_type(), kSize, kSize,
                                                kSize);
  std::ifstream file("/proc/self/statm");
  std::size_t pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) + later;
}

// What a reward model that chooses among checkpoints takes beside the plan of the training.
std::size_t judge_bytes(const Settings& settings) {
  if (settings.run.phase != "sft" || settings.sft.choose != BestBy::reward || settings.reward_model.layers == 0)
    return 0;
  const auto backend = make_counting_backend();
  const ProcessGrid grid = ProcessGrid::planned(settings.reward_grid, 0);
  const FrozenModel judge(settings.reward_model, grid, *backend);
  return backend->memory().taken_by_kind[static_cast<std::size_t>(MemoryKind::weights)];
}

std::string judge_text(const Settings& settings, std::size_t bytes) {
  if (bytes == 0) return {};
  return fmt::format("Judge      the reward model, {} parameters: {} of weights a rank beside that\n",
                     count_text(static_cast<double>(settings.reward_model.parameter_count())),
                     byte_text(static_cast<double>(bytes)));
}

bool saves(const Settings& settings) { return settings.checkpoint.every > 0 || settings.checkpoint.at_end; }

struct CheckReport {
  std::string text;
  MachineNeed need;
};

CheckReport check_ppo(const Settings& settings) {
  const std::size_t program = program_bytes(settings);  // before the plan takes memory for itself
  const PpoModelConfig models = ppo_model_config(settings);
  const PpoPlan plan = make_ppo_plan(models, settings.grid, settings.reward_grid, settings.generate.slots);
  CheckReport report{ppo_plan_text(plan, models, settings.grid, settings.reward_grid, program, saves(settings)), {}};
  report.need.bytes = plan.largest().peak();
  report.need.tensor = std::max(settings.grid.tensor, settings.reward_grid.tensor);
  return report;
}

CheckReport check_training(const Settings& settings) {
  const std::size_t program = program_bytes(settings);
  BatchConfig batch = settings.batch;
  if (settings.run.phase == "reward") {  // counts prompts there
    batch.global *= settings.reward.responses;
    batch.micro *= settings.reward.responses;
  }
  const Plan plan = make_plan(settings.model, batch, settings.optimizer, settings.grid);
  const std::size_t judge = judge_bytes(settings);
  CheckReport report{
      plan_text(plan, settings.model, batch, settings.grid, program, saves(settings)) + judge_text(settings, judge),
      {}};
  for (const RankPlan& rank : plan.ranks) {
    report.need.bytes = std::max(report.need.bytes, rank.on_gpu() + judge);
    report.need.flops = std::max(report.need.flops, rank.flops);
  }
  report.need.tensor = settings.grid.tensor;
  report.need.bubble = plan.bubble;
  report.need.tokens = plan.tokens_per_step;
  return report;
}

// What a phase that trains nothing works with; nothing for the others.
std::optional<InferenceConfig> inference_config(const Settings& settings) {
  const std::string& phase = settings.run.phase;
  if (phase != "generate" && phase != "score" && phase != "evaluate") return std::nullopt;
  InferenceConfig config;
  config.model = settings.model;
  config.grid = settings.grid;
  config.length = std::min(settings.batch.length, settings.model.context);
  if (phase != "generate") config.micro = settings.batch.micro;
  if (phase == "generate" || (phase == "evaluate" && !settings.evaluate.prompts.empty()))
    config.generator = GeneratorConfig{
        .slots = phase == "generate" ? settings.generate.busy_slots(settings.grid.data) : settings.generate.slots,
        .context = config.length,
        .compress_weights = settings.generate.compress_weights && settings.device.kind != DeviceKind::cuda};
  if (phase != "evaluate") return config;
  if (!settings.evaluate.reference.empty()) config.reference = settings.model;
  if (!settings.evaluate.reward_model.empty()) config.judge = settings.reward_model;
  config.judge_grid = settings.reward_grid;
  return config;
}

CheckReport check_inference(const InferenceConfig& config, const Settings& settings) {
  const std::size_t program = program_bytes(settings);
  const std::vector<RankPlan> ranks = make_inference_plan(config);
  CheckReport report{inference_plan_text(ranks, config, program), {}};
  for (const RankPlan& rank : ranks) report.need.bytes = std::max(report.need.bytes, rank.on_gpu());
  report.need.tensor = settings.grid.tensor;
  return report;
}

CheckReport check_phase(const Settings& settings) {
  if (settings.run.phase == "ppo") return check_ppo(settings);
  const auto inference = inference_config(settings);
  return inference ? check_inference(*inference, settings) : check_training(settings);
}

}  // namespace

// What a login node can tell before a job waits in the queue; it may yet be made, by a job before this one.
void say_missing(const Settings& settings) {
  for (const NamedPath& input : missing_inputs(deck_files(settings)))
    fmt::print("Missing    {} = {}: not there yet\n", input.key, input.path);
}

int check_deck(const Settings& settings) {
  std::optional<Machine> machine;
  if (!settings.machine.file.empty()) machine = read_machine(settings.machine.file);
  if (!has_model(settings)) {
    fmt::print("phase {}: the deck is good\n", settings.run.phase);
    say_missing(settings);
    return 0;
  }
  CheckReport report = check_phase(settings);
  fmt::print("{}", report.text);
  say_missing(settings);
  if (!machine) return 0;
  report.need.ranks = settings.grid.ranks();
  report.need.narrow = settings.model.precision == Precision::bf16;
  fmt::print("{}", machine_text(*machine, report.need));
  const std::string problem = machine_problem(*machine, report.need);
  if (!problem.empty()) throw Error(ExitCode::usage, problem).on_this_rank();
  return 0;
}

}  // namespace coxswain
