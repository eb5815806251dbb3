// Phase benchmark of a generate deck (run.benchmark = generate): responses of a model of random weights to prompts of
// random tokens, each of max_new_tokens. Every operation stands beside its floor: the longer of its arithmetic at the
// GEMM rate and its traffic at the rate of reading (the weights once a step, and the caches), measured in the same run.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "phases/config.h"
#include "phases/operation_table.h"
#include "phases/phase.h"
#include "rl/generator.h"
#include "train/frozen_model.h"

namespace coxswain {

// Responses of one length to prompts of one length.
struct EqualResponses {
  std::int64_t count = 0, prompt = 0, new_tokens = 0;
};
// Of keys and values on this rank, by the rows that draw a token, each from a cache of its own: the operation itself
// cannot count it, as positions are known to the device alone. The first token is drawn at the prompt's last position.
double cache_bytes_read(Model& model, const ModelConfig& config, const GridConfig& grid,
                        const EqualResponses& responses);

struct GenerateBenchmarkConfig {
  GenerateConfig generate;
  ModelConfig model;
  int length = 0;  // tokens of prompt and response
  std::uint64_t seed = 0;
  std::int64_t rounds = 1;  // a step of the run each; the first settles pools and is left out if there are more
};

class GenerateBenchmark final : public Phase {
 public:
  GenerateBenchmark(const GenerateBenchmarkConfig& config, const ProcessGrid& grid, Backend& backend);

  std::string name() const override { return "benchmark"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override { return config_.rounds; }
  StepReport run_step() override;
  bool has_state() const override { return false; }
  void visit(Archive&) override {}
  void finish() override;
  std::string summary() const override { return table_; }

  // Of the rounds that count.
  std::vector<TimedOperation> operations(const MachineRates& rates);

 private:
  // Responses to all prompts; returns seconds, and adds what they cost if the round counts.
  double respond(int new_tokens, std::map<std::string, OperationCost>& costs);
  bool counts() const { return step_ > 0 || config_.rounds == 1; }

  GenerateBenchmarkConfig config_;
  const ProcessGrid& grid_;
  Backend& backend_;
  FrozenModel model_;
  Generator generator_;
  std::int64_t step_ = 0;
  std::vector<double> seconds_, reading_;  // of the rounds that count; bytes a second, measured after each
  std::map<std::string, OperationCost> of_prompts_, of_all_;
  std::string table_;
};

}  // namespace coxswain
