// Phase score: what a reward model thinks of the responses in a JSONL file, whoever wrote them: demonstrations,
// generated responses, comparisons. The same lines, in their order, each with its score. A run that was cut short goes
// on behind the scores in its run directory (UnfinishedOutput).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "io/unfinished_output.h"
#include "phases/config.h"
#include "phases/load_checkpoint.h"
#include "phases/phase.h"
#include "phases/reward_config.h"
#include "rl/scoring.h"
#include "train/config.h"
#include "train/frozen_model.h"

namespace coxswain {

struct ScorePhaseConfig {
  RunConfig run;
  ModelConfig model;
  BatchConfig batch;
  DataConfig data;
  ChatConfig chat;
  ScoreConfig score;
};

class Score final : public Phase {
 public:
  // Reads the file; weights are undefined until begin(). The grid, the backend and the log must outlive it. Collective.
  Score(const ScorePhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log);

  std::string name() const override { return "score"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override;
  void begin() override;
  StepReport run_step() override;  // scores batch.global sequences
  bool has_state() const override { return false; }
  bool keeps_output() const override { return unfinished_ != nullptr; }
  std::int64_t kept_tokens() const override { return kept_tokens_; }
  void visit(Archive&) override {}
  void finish() override;
  std::string summary() const override;

 private:
  // From what an earlier start of the same run has written; `weights` tells these weights from others.
  void go_on(const std::string& weights);
  struct Line {
    std::string text;                  // JSON
    std::string place;                 // file:line
    std::size_t first = 0, count = 0;  // of its sequences
    bool is_list = false;              // a comparison has a list of scores, in the order of its responses
  };
  void read();
  std::string with_score(const Line& line) const;

  ScorePhaseConfig config_;
  LoadContext context_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<Line> lines_;
  std::vector<TokenSequence> sequences_;
  FrozenModel model_;
  std::vector<double> scores_;  // of the first sequences
  std::unique_ptr<UnfinishedOutput> unfinished_;
  std::int64_t step_ = 0, kept_tokens_ = 0;
};

}  // namespace coxswain
