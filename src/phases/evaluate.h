// Phase evaluate: what a policy is worth. Each that the deck asks for is one step: perplexity on held-out text,
// responses to held-out prompts by a judge, win rate against an opponent, best of n, and the curve of reward against
// the root of the divergence over several checkpoints (Bai et al. 2022; Gao et al. 2022). Results are a table on the
// console, the same with a chart in report.html, and evaluation.json in the run directory.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/batch_source.h"
#include "data/prompts.h"
#include "data/tokenizer.h"
#include "phases/config.h"
#include "phases/evaluation_report.h"
#include "phases/load_checkpoint.h"
#include "phases/phase.h"
#include "phases/scored_responses.h"
#include "rl/policy_judge.h"
#include "train/config.h"

namespace coxswain {

// A model without layers: files of scores alone.
struct EvaluatePhaseConfig {
  RunConfig run;
  EvaluateConfig evaluate;
  ModelConfig model, reward_model;
  GridConfig reward_grid;
  BatchConfig batch;
  DataConfig data;
  ChatConfig chat;
  GenerateConfig generate;
};

class Evaluate final : public Phase {
 public:
  // Weights are undefined until load_frozen(). The grid, the backend and the log must outlive it.
  Evaluate(const EvaluatePhaseConfig& config, const ProcessGrid& grid, Backend& backend, Log& log);

  std::string name() const override { return "evaluate"; }
  std::int64_t step() const override { return step_; }
  std::int64_t total_steps() const override { return static_cast<std::int64_t>(tasks_.size()); }
  void load_frozen() override;  // judge and reference
  StepReport run_step() override;
  bool has_state() const override { return false; }
  void visit(Archive&) override {}
  void finish() override;
  bool has_curves() const override { return false; }
  std::string summary() const override { return to_text(report_); }
  std::string report() const override { return to_html(report_); }

 private:
  using Metrics = std::vector<std::pair<std::string, double>>;
  void plan_tasks();
  void load(FrozenModel& model, const ModelSource& source);
  std::vector<GenerationRequest> requests(int samples) const;
  ModelSource own_policy() const;  // that is evaluated; [run] initialize_weights says which of its weights
  ModelSource other_policy(const std::string& path, const char* key) const;
  void load_policy(const ModelSource& source);
  Rollout judged(const ModelSource& policy, int samples);  // its responses
  ScorePoint point_of(const std::vector<double>& scores, double divergence) const;
  void note_policy(const char* name, const Rollout& rollout, std::vector<ScorePoint>& points, Metrics& metrics);

  Metrics measure_perplexity();
  Metrics judge_policy();
  Metrics judge_opponent();
  Metrics compare_files();
  Metrics measure_best_of_n();
  Metrics add_to_curve(const std::string& path);
  void note_left_out(const char* key, const DropReport& left_out);
  void note_win_rate(const Rollout& ours, const Rollout& theirs, Metrics& metrics);
  void write_samples(const Rollout& ours, const Rollout* theirs) const;

  EvaluatePhaseConfig config_;
  LoadContext context_;
  ProcessGrid reward_grid_;
  std::optional<FrozenModel> policy_, judge_, reference_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ChatFormat chat_;
  Prompts prompts_;
  std::unique_ptr<PolicyJudge> policy_judge_;
  std::pair<std::string, WeightsKind> loaded_;  // whose weights the policy has
  std::optional<Rollout> ours_;
  std::vector<std::function<Metrics()>> tasks_;
  std::int64_t step_ = 0;
  nlohmann::ordered_json results_;
  EvaluationReport report_;
};

}  // namespace coxswain
