// The gradient of a global batch, in one fixed order (Law 1).
//
// Micro-batches of a data shard add up one after the other in the model's gradient buffers; data shards add up in the
// fixed tree, first those of this rank, then over grid.data(), which leaves each data rank its own slice; the two uses
// of a tied embedding come last. The global norm adds up squares in double: block by block, unit by unit.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"
#include "parallel/tree_sum.h"

namespace coxswain {

class Gradients {
 public:
  explicit Gradients(Model& model);

  void begin_step();
  // The last micro-batch of a data shard went back through the chunk. Collective over grid.tensor().
  void finish_shard(int chunk);
  // All data shards are in: sums over grid.data(), exchanges tied gradients over grid.pipeline() and returns the global
  // norm, the same on every rank. Collective over the world.
  double finish_step();

  // f32 [own elements] of a buffer that owns its values; valid until the next begin_step.
  TensorView own_slice(const ParameterBuffer& buffer) const;

 private:
  void sum_over_data();
  void sum_tied_uses();
  double global_norm();
  std::vector<double> own_squares() const;

  Model& model_;
  std::vector<TreeSum> sums_;                    // one a buffer, in the model's order
  std::vector<const ParameterBuffer*> counted_;  // in the norm: a tied embedding once
  std::vector<int> shards_left_;                 // one a chunk: data shards that are not finished
};

}  // namespace coxswain
