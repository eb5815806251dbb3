// Tensor x pipeline x data ranks and their groups. Tensor ranks are neighbours (same node), then data, then pipeline:
// world rank = tensor + P_t * (data + P_d * pipeline).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "parallel/communicator.h"

namespace coxswain {

struct GridConfig {
  int tensor = 1;
  int pipeline = 1;
  int data = 0;            // 0: ranks / (tensor x pipeline)
  int tensor_shards = 0;   // 0: tensor
  int data_shards = 0;     // 0: data
  int virtual_stages = 1;  // model chunks a pipeline rank
  // Products of rows that come from other tensor ranks or go there are computed in tensor_shards blocks of rows, each
  // beside the transfer of others, if a block of the result has so many elements; 0: never. The shape of a product
  // fixes its bits, so the cut depends on what fixes the bits anyway, and not on the ranks.
  std::int64_t overlap_from = std::int64_t{1} << 24;

  // Fills the defaults in. Throws Error(usage) that names the key if the grid cannot hold `ranks` ranks or shards do
  // not divide. ranks = 0: the deck alone decides (--check).
  void check(int ranks);
  int ranks() const { return tensor * pipeline * data; }
};

class ProcessGrid {
 public:
  ProcessGrid(Communicator& world, const GridConfig& config);
  // The view that rank `rank` of a planned grid has: groups have their size and move nothing.
  static ProcessGrid planned(const GridConfig& config, int rank);

  const GridConfig& config() const { return config_; }
  Communicator& world() const { return *world_; }
  Communicator& tensor() const { return *tensor_; }      // same pipeline and data coordinates
  Communicator& pipeline() const { return *pipeline_; }  // same tensor and data coordinates
  Communicator& data() const { return *data_; }          // same tensor and pipeline coordinates

  int tensor_rank() const { return tensor_->rank(); }
  int pipeline_rank() const { return pipeline_->rank(); }
  int data_rank() const { return data_->rank(); }
  int local_tensor_shards() const { return config_.tensor_shards / config_.tensor; }
  int first_tensor_shard() const { return tensor_rank() * local_tensor_shards(); }
  int local_data_shards() const { return config_.data_shards / config_.data; }
  int first_data_shard() const { return data_rank() * local_data_shards(); }
  std::string coordinates() const;  // "tensor 1 of 2, pipeline 0 of 2, data 3 of 4"

 private:
  ProcessGrid() = default;
  GridConfig config_;
  std::unique_ptr<Communicator> owned_world_;  // planned grids only
  Communicator* world_ = nullptr;
  std::unique_ptr<Communicator> tensor_, pipeline_, data_;
};

}  // namespace coxswain
