#include "kernels/held_weights.h"

namespace coxswain {

// Through another constructor, so that those that are held go if there is no memory for the next.
HeldWeights::HeldWeights(Backend& backend, const std::vector<TensorView>& weights) : HeldWeights(backend) {
  weights_.reserve(weights.size());
  for (const TensorView& w : weights) {
    if (!backend_.holders_.contains(w.data)) backend_.keep_weights(w);
    ++backend_.holders_[w.data];
    weights_.push_back(w);
  }
}

HeldWeights::~HeldWeights() {
  for (const TensorView& w : weights_) {
    const auto holders = backend_.holders_.find(w.data);
    if (--holders->second > 0) continue;
    backend_.holders_.erase(holders);
    backend_.drop_weights(w);
  }
}

}  // namespace coxswain
