// Micro-batches on their way through the stages: receive, run one stage, send on; what the next task needs comes while
// one runs. Collective over grid.pipeline() and, inside the stages, over grid.tensor().
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

  // This rank's tasks, both ways or forward alone, all of which are to be run in this order. `work` must live until
  // finish.
  enum class Ways { both, forward };
  const std::vector<PipelineTask>& begin(const Work& work, Ways ways);
  // recompute: what backward will find; nothing: there will be no backward, and only the head's results are kept.
  void forward(const PipelineTask& task, std::optional<Recompute> recompute, Stage::Saved& saved);
  // output_gradient f32 [m], on the last stage. Empties saved. finished: see Stage::backward.
  void backward(const PipelineTask& task, TensorView output_gradient, Stage::Saved& saved,
                const Stage::PartHook& finished);
  void finish();  // until all that was sent has left

 private:
  // What is on its way, to or from another rank. The memory is given back last.
  struct Transfer {
    Tensor tensor;
    Request request;
  };

  int global_stage(int chunk) const;
  bool wants_input(const PipelineTask& task) const;
  int source_of(const PipelineTask& task) const;  // the rank that the task's input comes from
  Transfer expect(const PipelineTask& task) const;
  Tensor arrive(const PipelineTask& task);
  void depart(PipelineTask::Kind kind, int to_stage, int micro_batch, Tensor tensor);

  Model& model_;
  const Work* work_ = nullptr;
  const std::vector<PipelineTask>* tasks_ = nullptr;
  std::size_t begun_ = 0;             // tasks
  std::optional<Transfer> expected_;  // the input of the next task, where it comes from another rank
  std::vector<Transfer> departures_;
  std::map<std::pair<int, Ways>, std::vector<PipelineTask>> schedules_;  // by the number of micro-batches
  std::map<std::pair<int, int>, Tensor> local_;  // to a stage of this very rank: (2 stage + kind, micro-batch)
};

}  // namespace coxswain
