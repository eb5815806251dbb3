// The sum of the squares of the whole model's gradient, in double and in one fixed order (Law 1): block by block in a
// parameter's piece, then piece by piece in the order of all. It is made where the gradients are: no host waits for it.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "model/model.h"

namespace coxswain {

class GradientSquares {
 public:
  explicit GradientSquares(Model& model);  // collective over the world

  // f64 [1], the same on every rank, of the gradients that the data ranks own by now. Collective over the world.
  TensorView sum();

 private:
  void lay_out_blocks();
  void lay_out_units();

  Model& model_;
  std::vector<const ParameterBuffer*> buffers_;  // that count: of two uses of a tied embedding one has the sum of both
  std::vector<std::int64_t> blocks_of_rank_;     // of each data rank
  std::vector<std::int64_t> units_of_stage_;     // of each pipeline rank, all its tensor ranks' in turn
  Tensor blocks_;                                // f64 [blocks here], data rank after data rank
  Tensor block_places_, unit_ends_;              // i32: a unit's blocks, unit after unit
  Tensor units_;                                 // f64 [units of all]
  Tensor unit_places_, all_;                     // i32: all units in their order, and how many there are
  Tensor sum_;                                   // f64 [1]
};

}  // namespace coxswain
