#include "kernels/held_weights.h"

namespace coxswain {

// Through another constructor, so that those that are held go if there is no memory for the next.
HeldWeights::HeldWeights(Backend& backend, const std::vector<TensorView>& weights) : HeldWeights(backend) {
  weights_.reserve(weights.size());
  for (const TensorView& w : weights) {
    backend_.hold_weights(w);
    weights_.push_back(w);
  }
}

HeldWeights::~HeldWeights() {
  for (const TensorView& w : weights_) backend_.let_weights_go(w);
}

}  // namespace coxswain
