// One training step: micro-batches through the pipeline, gradients over the grid, one update.
//
// The step reads top to bottom in trainer.cpp. Collective over the world.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/model.h"
#include "train/config.h"
#include "train/evaluator.h"
#include "train/global_batch.h"
#include "train/gradients.h"
#include "train/master_weights.h"
#include "train/optimizer.h"
#include "train/pipeline.h"
#include "train/step_verdict.h"

namespace coxswain {

class Trainer {
 public:
  Trainer(Model& model, const BatchConfig& batch, const OptimizerConfig& optimizer);

  // One update from the sum of the parts' gradients.
  StepResult step(std::span<const GlobalBatch> parts, double learning_rate);
  StepResult step(const GlobalBatch& batch, double learning_rate) { return step({&batch, 1}, learning_rate); }

  // Whether the weights as they are give finite numbers: for the first micro-batch of each data shard of the last step.
  // True before any step.
  bool sound(Evaluator& evaluator) const;

  MasterWeights& weights() { return weights_; }
  void visit(Archive& archive);  // weights and the optimizer's state

 private:
  void run(const Work& work);
  void keep_looked_at(Work& work);
  // The last stage's look at a micro-batch: its terms are kept, its output's gradient is left in output_gradients_.
  void judge(const Work& work, int micro_batch, const Stage::Saved& saved);

  Model& model_;
  Recompute recompute_;
  OptimizerConfig optimizer_config_;
  Gradients gradients_;
  StepVerdict verdict_;
  MasterWeights weights_;
  Optimizer optimizer_;
  std::vector<std::vector<Stage::Saved>> saved_;  // [chunk][micro-batch]
  std::vector<Tensor> output_gradients_;          // f32 [m] of each micro-batch; last stage only
  std::vector<MicroBatch> looked_at_;             // by sound(), one of each of this rank's data shards
  Pipeline pipeline_;
};

}  // namespace coxswain
