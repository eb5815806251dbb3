// AdamW with decoupled decay (Loshchilov & Hutter 2019) over FP32 masters, its state spread over data ranks (ZeRO-1).
//
// Each data rank updates its own slice of every parameter buffer and gathers the new working values from the others.
// In FP32 the working values are the masters. Collective over grid.data().
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model/model.h"
#include "tensor/archive.h"
#include "train/config.h"

namespace coxswain {

class Gradients;

class Optimizer {
 public:
  Optimizer(Model& model, const OptimizerConfig& config);

  void initialise(std::uint64_t seed);  // weights from their distributions by global index, moments zero
  // One update. gradient_scale: the clipping coefficient. Counts itself for the bias corrections.
  void step(const Gradients& gradients, double learning_rate, double gradient_scale);
  void visit(Archive& archive);          // masters, moments and the count
  void visit_weights(Archive& archive);  // masters alone: "model/..."
  std::int64_t updates() const { return updates_; }

 private:
  struct Slice {
    ParameterBuffer* buffer;
    Tensor master_memory;  // BF16 only
    TensorView master;     // f32 [own elements]; in FP32 a view of the values
    Tensor moment1, moment2;
  };
  void visit_slices(Archive& archive, const char* prefix, TensorView (*memory)(const Slice&));
  void fill(const Slice& slice, const OwnedPart& part, std::uint64_t seed);
  void publish(const Slice& slice, bool convert);

  Model& model_;
  OptimizerConfig config_;
  std::vector<Slice> slices_;
  std::int64_t updates_ = 0;
};

}  // namespace coxswain
