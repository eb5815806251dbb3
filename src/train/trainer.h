// One training step: micro-batches through the pipeline, gradients over the grid, one update.
//
// The step reads top to bottom in trainer.cpp. Collective over the world.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "model/model.h"
#include "train/config.h"
#include "train/gradients.h"
#include "train/master_weights.h"
#include "train/optimizer.h"
#include "train/pipeline_schedule.h"

namespace coxswain {

// The global batch of a step: sequences [0, size), cut into data shards and these into micro-batches.
struct GlobalBatch {
  std::int64_t step = 0;  // keys the random numbers, with the seed
  std::uint64_t seed = 0;
  int size = 0;  // sequences: a multiple of data_shards x micro
  std::function<MicroBatch(std::int64_t first_sequence, int sequences)> load;
};

struct StepResult {
  double loss = 0;           // mean over the batch's weighted tokens, nats
  double gradient_norm = 0;  // before clipping
  bool updated = false;      // false: loss or gradient was not finite, and nothing has changed
};

class Trainer {
 public:
  Trainer(Model& model, const BatchConfig& batch, const OptimizerConfig& optimizer);

  StepResult step(const GlobalBatch& batch, double learning_rate);
  double evaluate(const GlobalBatch& batch);  // mean loss, without dropout and without a trace

  MasterWeights& weights() { return weights_; }
  void visit(Archive& archive);  // weights and the optimizer's state
  const Gradients& gradients() const { return gradients_; }

 private:
  // Micro-batches of this rank, on the host, and what their losses are divided by.
  struct Work {
    std::vector<MicroBatch> micro_batches;
    std::vector<std::int64_t> first_sequences;
    double weight_scale = 0;
    int per_shard = 0;
    bool training = true;
    const GlobalBatch* batch = nullptr;
  };
  Work load(const GlobalBatch& batch, bool training);
  void run(const Work& work);
  void forward(const Work& work, const PipelineTask& task);
  void backward(const Work& work, const PipelineTask& task);
  double mean_loss(const Work& work);
  const std::vector<PipelineTask>& schedule(int micro_batches);  // made once for each number

  // Activations and their gradients on their way between stages.
  int global_stage(int chunk) const;
  Tensor arrive(PipelineTask::Kind kind, int to_stage, int micro_batch, std::int64_t rows);
  void depart(PipelineTask::Kind kind, int to_stage, int micro_batch, Tensor tensor);
  struct Departure {
    Request request;
    Tensor tensor;
  };

  Model& model_;
  BatchConfig batch_;
  OptimizerConfig optimizer_config_;
  Gradients gradients_;
  MasterWeights weights_;
  Optimizer optimizer_;
  std::vector<std::vector<Stage::Saved>> saved_;  // [chunk][micro-batch]
  Tensor losses_;                                 // f64 [micro-batches of this rank]; last stage only
  std::vector<Departure> departures_;
  std::map<int, std::vector<PipelineTask>> schedules_;
  std::map<std::pair<int, int>, Tensor> local_;  // to a stage of this very rank: (2 stage + kind, micro-batch)
};

}  // namespace coxswain
