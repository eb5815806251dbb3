// The gradient of a global batch, in one fixed order (Law 1).
//
// Micro-batches of a data shard add up one after the other in the model's gradient buffers; data shards add up in the
// fixed tree, first those of this rank, then over grid.data(), which leaves each data rank its own slice; the two uses
// of a tied embedding come last.
//
// A part's gradients leave for the other data ranks as soon as its last data shard is through, beside the backward of
// the parts below it.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "model/model.h"
#include "parallel/tree_sum.h"
#include "train/gradient_squares.h"

namespace coxswain {

class Gradients {
 public:
  explicit Gradients(Model& model);

  void begin_step();
  // The last micro-batch of a data shard went back through a part of the chunk's stage. Collective over grid.tensor()
  // and grid.data().
  void finish_shard(int chunk, int part);
  // All data shards are in: finishes the sums over grid.data(), which ParameterBuffer::own_gradients then shows of each
  // buffer that owns its values, exchanges tied gradients over grid.pipeline() and returns the sum of all squares, see
  // GradientSquares. Collective over the world.
  TensorView finish_step();

 private:
  void leave(std::size_t buffer);
  void advance(bool wait);
  void sum_tied_uses();

  Model& model_;
  GradientSquares squares_;
  std::vector<TreeSum> sums_;  // one a buffer, in the model's order
  std::int64_t scratch_elements_ = 0;
  Tensor scratch_;                    // f32, of the sums below, while there are some
  std::deque<ScatteredSum> leaving_;  // over data ranks, in the order in which they go on
};

}  // namespace coxswain
