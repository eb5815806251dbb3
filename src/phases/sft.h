// Phase sft: supervised fine-tuning on demonstrations (Ouyang et al. 2022, section 3.5 and appendix C.1), on the
// responses only, with a share of pre-training text between them if the deck wants it (appendix C.3). At each
// validation the weights are judged, by their loss or by a reward model; the best ones stay on disk.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/fine_tuning_source.h"
#include "data/tokenizer.h"
#include "phases/config.h"
#include "phases/load_checkpoint.h"
#include "phases/phase.h"
#include "phases/sft_config.h"
#include "rl/response_scores.h"
#include "train/evaluator.h"
#include "train/skip_policy.h"
#include "train/trainer.h"

namespace coxswain {

struct SftPhaseConfig {
  RunConfig run;
  ModelConfig model, reward_model;
  GridConfig reward_grid;
  BatchConfig batch;
  OptimizerConfig optimizer;
  DataConfig data;
  ChatConfig chat;
  GenerateConfig generate;
  SftConfig sft;
};

class Sft final : public Phase {
 public:
  // Weights are undefined until begin() or a checkpoint gives them. The grid, the backend and the log must outlive it.
  Sft(const SftPhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log);

  std::string name() const override { return "sft"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override { return total_steps_; }
  void load_frozen() override;  // the reward model, where it chooses
  void begin() override;
  StepReport run_step() override;
  std::int64_t skipped_in_a_row() const override { return skips_.in_a_row(); }
  std::int64_t best_step() const override { return best_step_; }
  std::string summary() const override;
  void visit(Archive& archive) override;
  void load_reward_model(Archive& archive);
  std::vector<std::string> describe();  // what it trains on, for the log

 private:
  StepResult train(double rate, const FineTuningSource::Contents& contents);
  void validate(StepReport& report);
  double validation_loss();
  void judge(double merit);
  void check_text() const;
  void visit_own_tokenizer(Archive& archive);
  void check_judge(Archive& archive);
  LoadContext load_context() { return {context_.grid.world(), context_.backend, log_}; }

  SftPhaseConfig config_;
  Log& log_;
  ModelContext context_;
  Model model_;
  Trainer trainer_;
  Evaluator evaluator_;
  SkipPolicy skips_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ChatFormat chat_;
  FineTuningSource source_;
  std::optional<PackedDemonstrations> held_out_;
  std::optional<ResponseScores> response_scores_;
  std::string reward_state_;  // tells the reward model from others
  std::int64_t total_steps_ = 0;
  std::int64_t step_ = 0;
  std::int64_t best_step_ = 0;
  double best_merit_ = 0;  // minus the loss, or the score
};

}  // namespace coxswain
