// AdamW with decoupled decay (Loshchilov & Hutter 2019) over FP32 masters, its state spread over data ranks (ZeRO-1).
//
// Each data rank updates its own slice of every parameter buffer and gathers the new working values from the others,
// beside what follows. Collective over grid.data().
#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"
#include "tensor/archive.h"
#include "train/config.h"
#include "train/master_weights.h"

namespace coxswain {

class Optimizer {
 public:
  Optimizer(Model& model, MasterWeights& weights, const OptimizerConfig& config);

  void reset();  // moments zero, no updates
  // Asks for one update, by the gradients times the scale, f64 [1]. Where that is below zero the device leaves it out;
  // if it was made, count_update must come before the next one: bias corrections hang on how many there were.
  void step(double learning_rate, TensorView scale);
  void count_update() { ++updates_; }
  void visit(Archive& archive);  // the moments and the count
  std::int64_t updates() const { return updates_; }

 private:
  struct Moments {
    Tensor first, second;  // f32 [own elements]
  };

  Model& model_;
  MasterWeights& weights_;
  OptimizerConfig config_;
  std::vector<Moments> moments_;  // in the order of the weights' slices
  std::int64_t updates_ = 0;
};

}  // namespace coxswain
