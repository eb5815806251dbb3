// Phase reward: a scalar head in place of the output projection learns how people ranked K responses of a prompt
// (Stiennon et al. 2020; Ouyang et al. 2022, section 3.5; best of n: Ziegler et al. 2019). All responses of a prompt
// stand in one micro-batch: K forward passes for C(K, 2) pairs. After the last step the scores are normalised on
// reference demonstrations, so whoever loads the checkpoint gets normalised scores.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/preferences.h"
#include "data/tokenizer.h"
#include "model/model.h"
#include "phases/config.h"
#include "phases/phase.h"
#include "phases/reward_config.h"
#include "rl/objectives.h"
#include "rl/reward_report.h"
#include "train/evaluator.h"
#include "train/skip_policy.h"
#include "train/trainer.h"

namespace coxswain {

struct RewardPhaseConfig {
  RunConfig run;
  ModelConfig model;
  BatchConfig batch;  // global, micro: prompts
  OptimizerConfig optimizer;
  DataConfig data;
  ChatConfig chat;
  RewardConfig reward;
};

class Reward final : public Phase {
 public:
  // Reads all comparisons; weights are undefined until begin() or a checkpoint gives them. The grid, the backend and
  // the log must outlive it. Collective.
  Reward(const RewardPhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log);

  std::string name() const override { return "reward"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override { return total_steps_; }
  void begin() override;  // as a language model or a reward model, or at random
  StepReport run_step() override;
  std::int64_t skipped_in_a_row() const override { return skips_.in_a_row(); }
  bool sound() override { return trainer_.sound(evaluator_); }
  void visit(Archive& archive) override;
  bool conclude() override;  // normalises the scores
  void finish() override;
  std::string summary() const override { return to_text(report_); }
  std::string report() const override { return to_html(report_); }

  std::vector<std::string> describe() const;  // what it learns from, for the log

 private:
  std::vector<Comparison> read(const std::string& paths, const char* key) const;
  std::vector<TokenSequence> read_reference() const;
  std::vector<std::int64_t> next_prompts() const;  // places of this step's comparisons
  GlobalBatch batch_of(std::span<const Comparison> comparisons, std::span<const std::int64_t> order) const;
  void validate(StepReport& report);
  std::vector<double> scores_of(std::span<const TokenSequence> sequences);
  void normalise();
  void check_reference(Archive& archive) const;

  RewardPhaseConfig config_;
  Log& log_;
  ModelContext context_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ChatFormat chat_;
  std::vector<Comparison> comparisons_, held_out_;
  std::vector<TokenSequence> reference_;
  std::int64_t total_steps_ = 0;
  RankingObjective objective_;
  Model model_;
  Trainer trainer_;
  Evaluator evaluator_;
  SkipPolicy skips_;
  std::int64_t step_ = 0;
  std::int64_t tokens_ = 0;
  ScoreMoments before_;          // of the reference's scores, when they were normalised last
  std::int64_t normalised_ = 0;  // whether they have been since the last update: 0 or 1
  RewardReport report_;
};

}  // namespace coxswain
