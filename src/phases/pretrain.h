// Phase pretrain: next-token training on packed documents (Brown et al. 2020).
#pragma once

#include <memory>
#include <optional>

#include "base/log.h"
#include "data/batch_source.h"
#include "model/model.h"
#include "phases/config.h"
#include "phases/phase.h"
#include "train/evaluator.h"
#include "train/skip_policy.h"
#include "train/trainer.h"

namespace coxswain {

struct PretrainConfig {
  RunConfig run;
  ModelConfig model;
  BatchConfig batch;
  OptimizerConfig optimizer;
  DataConfig data;
};

class Pretrain final : public Phase {
 public:
  // Weights are undefined until begin() or a checkpoint gives them. The grid, the backend and the log must outlive it.
  Pretrain(const PretrainConfig& config, const ProcessGrid& grid, Backend& backend, Log& log);

  std::string name() const override { return "pretrain"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override { return config_.run.steps; }
  void begin() override;
  StepReport run_step() override;
  std::int64_t skipped_in_a_row() const override { return skips_.in_a_row(); }
  bool sound() override { return trainer_.sound(evaluator_); }
  void visit(Archive& archive) override;
  std::vector<std::string> describe() const;  // what it trains on, for the log

 private:
  double validate();
  void visit_own_tokenizer(Archive& archive);

  PretrainConfig config_;
  Log& log_;
  ModelContext context_;
  Model model_;
  Trainer trainer_;
  Evaluator evaluator_;
  SkipPolicy skips_;
  BatchSource data_;
  std::optional<ValidationSource> held_out_;
  std::int64_t step_ = 0;
  std::int64_t tokens_ = 0;
};

}  // namespace coxswain
