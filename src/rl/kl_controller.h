// The coefficient beta of the penalty for leaving the reference: fixed, or steered so that the divergence of a response
// comes to a target (Ziegler et al. 2019, section 2.2, as in their code):
//
//   e = clip(KL / target - 1, -0.2, 0.2)      beta <- beta (1 + e n / horizon)      n: episodes of the rollout
#pragma once

#include <cstdint>

#include "tensor/archive.h"

namespace coxswain {

class KlController {
 public:
  // Of one rollout. A horizon above this share of a rollout's episodes keeps beta above 0: PpoConfig::check().
  static constexpr double kMostError = 0.2;

  explicit KlController(double coefficient) : coefficient_(coefficient) {}  // fixed
  KlController(double coefficient, double target, double horizon)           // target: nats a response; 0: fixed
      : coefficient_(coefficient), target_(target), horizon_(horizon) {}

  double coefficient() const { return coefficient_; }
  // After a rollout of `episodes` responses whose mean divergence was `divergence` nats. One that is not a number
  // leaves the coefficient as it is.
  void update(double divergence, std::int64_t episodes);
  // A fixed coefficient is the deck's, whatever a checkpoint says.
  void visit(Archive& archive);

 private:
  double coefficient_;
  double target_ = 0, horizon_ = 0;
};

}  // namespace coxswain
