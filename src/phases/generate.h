// Phase generate: responses of a trained model to prompts, as text on the console or JSONL in a file. A step is a run
// of requests that fills the slots several times over. Responses depend on neither grid nor slots: a run that was cut
// short goes on behind the steps whose responses are in its run directory (UnfinishedOutput).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/prompts.h"
#include "data/tokenizer.h"
#include "io/unfinished_output.h"
#include "model/model.h"
#include "phases/config.h"
#include "phases/load_checkpoint.h"
#include "phases/phase.h"
#include "rl/generator.h"
#include "train/frozen_model.h"

namespace coxswain {

struct GeneratePhaseConfig {
  RunConfig run;
  GenerateConfig generate;
  ModelConfig model;
  DataConfig data;
  ChatConfig chat;
  int length = 0;  // tokens of prompt and response
};

class Generate final : public Phase {
 public:
  // Weights are undefined until begin(). The grid, the backend and the log must outlive it.
  Generate(const GeneratePhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log);

  std::string name() const override { return "generate"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override;
  void begin() override;
  StepReport run_step() override;
  bool has_state() const override { return false; }
  bool keeps_output() const override { return unfinished_ != nullptr; }
  std::int64_t kept_tokens() const override { return kept_tokens_; }
  void visit(Archive&) override {}
  void finish() override;
  std::string summary() const override;

 private:
  // From what an earlier start of the same run has written; `weights` tells these weights from others.
  void go_on(const std::string& weights);
  Sampling sampling() const;
  std::int64_t requests() const;
  std::int64_t requests_a_step() const { return std::int64_t{8} * config_.generate.slots; }
  std::string identity(const std::string& weights) const;
  void write_output() const;
  std::string text_of(const GeneratedResponse& response) const;

  GeneratePhaseConfig config_;
  LoadContext context_;
  FrozenModel model_;
  Generator generator_;
  std::unique_ptr<Tokenizer> tokenizer_;
  bool chats_;  // prompts and responses are in the form of [chat]; otherwise they stand as they are
  ChatFormat chat_;
  std::vector<PromptRecord> prompts_;
  std::vector<GeneratedResponse> responses_;      // prompt after prompt, sample after sample
  std::unique_ptr<UnfinishedOutput> unfinished_;  // where there is more than one step
  std::int64_t step_ = 0, kept_tokens_ = 0;
};

}  // namespace coxswain
