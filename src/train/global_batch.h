// The sequences of a step on one objective, and the part of them that this rank works on.
//
// Sequences [0, size) are cut into data shards and these into micro-batches. A step may have several parts (PPO's
// rollouts, then pre-training text): a data shard's micro-batches come part after part, one after the other into one
// gradient buffer. Micro-batches are numbered in this order; every rank has a run of whole data shards.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/micro_batch.h"
#include "parallel/process_grid.h"
#include "train/objective.h"

namespace coxswain {

struct GlobalBatch {
  std::int64_t step = 0;  // keys the random numbers, with the seed
  std::uint64_t seed = 0;
  int size = 0;   // sequences: a multiple of data_shards x micro
  int micro = 1;  // sequences of a micro-batch
  std::function<MicroBatch(std::int64_t first_sequence, int sequences)> load;
  const Objective* objective = &language_model_loss();
  double weight = 1;   // of this part in the sum that is minimised; the terms are reported without it
  double divisor = 0;  // what the sum over the batch is divided by; 0: the sum of all weights
};

struct Work {
  struct Item {
    MicroBatch tokens;
    int part = 0;
    std::int64_t first_sequence = 0;
    bool ends_shard = false;
  };
  std::span<const GlobalBatch> parts;
  std::vector<double> weight_scales;  // of each part: 1 / divisor
  std::vector<Item> items;            // this rank's, shard after shard
  bool training = true;

  const GlobalBatch& part_of(const Item& item) const { return parts[static_cast<std::size_t>(item.part)]; }
  double scale_of(const Item& item) const { return weight_scales[static_cast<std::size_t>(item.part)]; }
};

// Collective over grid.data(). The parts must outlive the work.
Work load_work(const ProcessGrid& grid, std::span<const GlobalBatch> parts, bool training);

// Numbers of every micro-batch, in the order of the global batch: own [items x width] of this rank, counted where
// `mine` (on one rank of each data coordinate). Collective over the world.
std::vector<double> merge_items(const ProcessGrid& grid, std::vector<double> own, bool mine, const char* name);

}  // namespace coxswain
