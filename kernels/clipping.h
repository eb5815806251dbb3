// Clipping by the global norm (Pascanu, Mikolov, Bengio 2013), in PyTorch's form, and whether a step is one at all:
// what AdamW multiplies the gradient by, or kSkipped where the norm or the loss is no finite number.
#pragma once

#include <cmath>

#include "kernels/math.h"

namespace coxswain {

struct Clipping {
  static constexpr double kSkipped = -1;  // of all scales the only one below zero
  double norm, scale;

  // limit 0: nothing is clipped.
  COXSWAIN_EVERYWHERE Clipping(double squares, double loss, double limit) : norm(std::sqrt(squares)), scale(1) {
    if (!is_finite(norm) || !is_finite(loss))
      scale = kSkipped;
    else if (limit > 0 && limit / (norm + 1e-6) < 1)
      scale = limit / (norm + 1e-6);
  }

  COXSWAIN_EVERYWHERE static bool is_finite(double x) { return x - x == 0; }
};

}  // namespace coxswain
