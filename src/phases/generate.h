// Phase generate: responses of a trained model to prompts, one step a prompt, as text on the console or JSONL in a
// file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "model/model.h"
#include "phases/config.h"
#include "phases/phase.h"
#include "rl/generator.h"
#include "train/master_weights.h"

namespace coxswain {

struct GeneratePhaseConfig {
  RunConfig run;
  GenerateConfig generate;
  ModelConfig model;
  DataConfig data;
  int length = 0;  // tokens that the model sees at once
};

class Generate final : public Phase {
 public:
  Generate(const GeneratePhaseConfig& config, const ProcessGrid& grid, Backend& backend);

  std::string name() const override { return "generate"; }
  std::int64_t step() const override { return static_cast<std::int64_t>(responses_.size()); }
  std::int64_t total_steps() const override { return static_cast<std::int64_t>(prompts_.size()); }
  StepReport run_step() override;
  bool has_state() const override { return false; }
  void visit(Archive&) override {}
  void finish() override;
  std::string summary() const override;

  void load_weights(Archive& archive);

 private:
  GeneratePhaseConfig config_;
  ModelContext context_;
  Model model_;
  MasterWeights weights_;
  Generator generator_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<std::string> prompts_, responses_;
  std::vector<std::int64_t> token_counts_;
};

}  // namespace coxswain
