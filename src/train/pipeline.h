// Micro-batches on their way through the stages: receive, run one stage, send on. Collective over grid.pipeline() and,
// inside the stages, over grid.tensor().
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "model/model.h"
#include "train/global_batch.h"
#include "train/pipeline_schedule.h"

namespace coxswain {

class Pipeline {
 public:
  explicit Pipeline(Model& model);  // collective over grid.pipeline()

  const std::vector<PipelineTask>& schedule(int micro_batches);  // this rank's list, made once for each number
  // recompute: what backward will find; nothing: there will be no backward, and only the head's results are kept.
  void forward(const Work& work, const PipelineTask& task, std::optional<Recompute> recompute, Stage::Saved& saved);
  // output_gradient f32 [m], on the last stage. Empties saved. finished: see Stage::backward.
  void backward(const PipelineTask& task, TensorView output_gradient, Stage::Saved& saved,
                const Stage::PartHook& finished);
  void finish();  // until all that was sent has left

 private:
  int global_stage(int chunk) const;
  Tensor arrive(PipelineTask::Kind kind, int to_stage, int micro_batch, std::int64_t rows);
  void depart(PipelineTask::Kind kind, int to_stage, int micro_batch, Tensor tensor);
  struct Departure {
    Request request;
    Tensor tensor;
  };

  Model& model_;
  std::vector<Departure> departures_;
  std::map<int, std::vector<PipelineTask>> schedules_;
  std::map<std::pair<int, int>, Tensor> local_;  // to a stage of this very rank: (2 stage + kind, micro-batch)
};

}  // namespace coxswain
