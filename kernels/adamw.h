// AdamW (Loshchilov, Hutter: "Decoupled weight decay regularization", ICLR 2019), in PyTorch's order: decay first.
//
//   g = scale gradient                          m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
//   w = w (1 - rate decay) - rate / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
//
// All products that are added are explicit fused multiply-adds, so that an element's bits do not depend on its place in
// a vector.
#pragma once

#include <cmath>

#include "kernels/math.h"

namespace coxswain {

// What a step needs, the same for all its elements.
struct AdamWFactors {
  float decay, step_size, root, beta1, beta2, rest1, rest2, epsilon;

  explicit AdamWFactors(const AdamWStep& step) : beta1(step.beta1), beta2(step.beta2), epsilon(step.epsilon) {
    const auto t = static_cast<double>(step.step);
    const double rate = step.learning_rate, first = step.beta1, second = step.beta2;
    decay = static_cast<float>(1.0 - rate * static_cast<double>(step.weight_decay));
    step_size = static_cast<float>(-rate / (1.0 - std::pow(first, t)));
    root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(second, t)));
    rest1 = static_cast<float>(1.0 - first);
    rest2 = static_cast<float>(1.0 - second);
  }

  // g: the gradient, scaled.
  COXSWAIN_EVERYWHERE void update(float g, float& master, float& moment1, float& moment2) const {
    const float m = multiply_add(moment1, beta1, g * rest1);
    const float v = multiply_add(moment2, beta2, (g * rest2) * g);
    const float denominator = multiply_add(std::sqrt(v), root, epsilon);
    master = multiply_add(m / denominator, step_size, master * decay);
    moment1 = m;
    moment2 = v;
  }
};

}  // namespace coxswain
