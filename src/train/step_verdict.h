// What became of a step, decided on the device: its losses, added up in the batch's order (Law 1), the norm, and what
// the optimizer may do. The host reads all of it at once, after it has asked for the whole step.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"
#include "tensor/host_memory.h"
#include "train/global_batch.h"

namespace coxswain {

struct StepResult {
  double loss = 0;                         // what was minimised: the parts' losses times their weights
  std::vector<std::vector<double>> terms;  // of each part's objective
  double gradient_norm = 0;                // before clipping
  bool updated = false;                    // false: loss or gradient was not finite, and nothing has changed
};

class StepVerdict {
 public:
  explicit StepVerdict(Model& model) : model_(model) {}

  // Place for the terms of this rank's micro-batches, f64 [items, kMostTerms]; the last stage fills them.
  static constexpr std::int64_t kMostTerms = 8;  // of any objective
  void begin_step(const Work& work);
  TensorView terms() const { return terms_[model_.context().grid.data_rank()]; }

  // squares: of the gradient, f64 [1]. limit: of the norm, see Backend::clip. Collective over the world.
  void decide(const Work& work, TensorView squares, double limit);
  TensorView scale() const { return numbers_.view().slice(0, kScale, 1); }  // f64 [1], for AdamW
  StepResult read(const Work& work);                                        // waits for what was decided

 private:
  void add_up_terms(const Work& work);

  // Of the numbers; behind the loss come the terms of every part.
  static constexpr std::int64_t kNorm = 0, kScale = 1, kLoss = 2;

  Model& model_;
  Tensor terms_;          // f64 [data ranks, items, kMostTerms]
  Tensor numbers_;        // f64
  HostMemory on_host_;    // of the numbers
  std::size_t room_ = 0;  // bytes of it
};

}  // namespace coxswain
