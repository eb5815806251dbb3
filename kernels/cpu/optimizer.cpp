// AdamW (Loshchilov, Hutter: "Decoupled weight decay regularization", ICLR 2019), in PyTorch's order: decay first.
//
//   g = gradient_scale gradient                 m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
//   w = w (1 - rate decay) - rate / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
//
// One pass over memory, which is what it costs. All products that are added are explicit fused multiply-adds, so that
// an element's bits do not depend on its place in a vector.
#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/math.h"

namespace coxswain {
namespace {

template <bool rounds>
void update(const Backend::AdamW& op) {
  const AdamWStep& step = op.step;
  const auto t = static_cast<double>(step.step);
  const double rate = step.learning_rate;
  const float decay = static_cast<float>(1.0 - rate * static_cast<double>(step.weight_decay));
  const float step_size = static_cast<float>(-rate / (1.0 - std::pow(static_cast<double>(step.beta1), t)));
  const float root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(static_cast<double>(step.beta2), t)));
  const float beta1 = step.beta1, beta2 = step.beta2, scale = step.gradient_scale, epsilon = step.epsilon;
  const float rest1 = static_cast<float>(1.0 - static_cast<double>(beta1));
  const float rest2 = static_cast<float>(1.0 - static_cast<double>(beta2));
  const float* gradient = op.gradient.as<float>();
  float* master = op.master.as<float>();
  float* moment1 = op.moment1.as<float>();
  float* moment2 = op.moment2.as<float>();
  bf16* working = rounds ? op.working.as<bf16>() : nullptr;
  const std::int64_t count = op.master.elements();
#pragma omp parallel for simd schedule(static) if (parallel : count > 16384)
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * scale;
    const float m = multiply_add(moment1[i], beta1, g * rest1);
    const float v = multiply_add(moment2[i], beta2, (g * rest2) * g);
    const float denominator = multiply_add(__builtin_sqrtf(v), root, epsilon);
    const float w = multiply_add(m / denominator, step_size, master[i] * decay);
    moment1[i] = m;
    moment2[i] = v;
    master[i] = w;
    if constexpr (rounds) working[i] = bf16(w);
  }
}

}  // namespace

void CpuBackend::do_adamw(const AdamW& op) { op.working ? update<true>(op) : update<false>(op); }

}  // namespace coxswain
