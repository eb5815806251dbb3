// The scope in which weights do not change.
#pragma once

#include <vector>

#include "kernels/backend.h"

namespace coxswain {

// Weights [n, k] that linear_rows is going to read many times, and nobody changes while this lives. So the backend may
// keep them a second time, in a form that it reads faster; results have the same bits.
class HeldWeights {
 public:
  HeldWeights(Backend& backend, const std::vector<TensorView>& weights);
  HeldWeights(const HeldWeights&) = delete;
  HeldWeights& operator=(const HeldWeights&) = delete;
  ~HeldWeights();

 private:
  explicit HeldWeights(Backend& backend) : backend_(backend) {}

  Backend& backend_;
  std::vector<TensorView> weights_;
};

}  // namespace coxswain
