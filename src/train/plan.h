// What a run will need, found by running the program's own step on a backend that only counts and on groups that move
// nothing: memory by kind, work by operation. For --check; no more than one rank is needed.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "model/model.h"
#include "parallel/process_grid.h"
#include "train/config.h"

namespace coxswain {

// Of one rank: pipeline stage `pipeline`, first of its tensor and data ranks (the others need the same).
struct RankPlan {
  int pipeline = 0;
  std::vector<std::pair<int, int>> layers;  // of each chunk: first, count
  std::array<std::size_t, kMemoryKinds> bytes{};
  std::size_t checkpoint_bytes = 0;  // host copy that a save in the background is written from
  std::size_t total() const;
  std::size_t on_gpu() const;  // of a GPU's memory
  double flops = 0;            // in a step, recomputation included
};

struct Plan {
  std::vector<RankPlan> ranks;  // one a pipeline rank
  std::int64_t parameters = 0;
  std::int64_t tokens_per_step = 0;
  double flops_per_step = 0;  // of the whole grid, the usual accounting (without recomputation)
  double bubble = 0;          // idle share of the pipeline
  int micro_batches = 0;      // of one data rank
};

// All structs checked. The grid has no zeros left.
Plan make_plan(const ModelConfig& model, const BatchConfig& batch, const OptimizerConfig& optimizer,
               const GridConfig& grid);

// What plans of other phases are made of: memory of the rank that this model was made for, as its backend has counted
// it; micro-batches of a data shard that fill the pipeline; a micro-batch without content.
RankPlan rank_plan(int pipeline, Model& model, const Backend& counting);
int representative_micro_batches(const GridConfig& grid);
MicroBatch blank_micro_batch(int sequences, int length);

}  // namespace coxswain
