// AdamW (Loshchilov, Hutter: "Decoupled weight decay regularization", ICLR 2019), in PyTorch's order: decay first.
//
//   g = gradient_scale gradient                 m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2
//   w = w (1 - rate decay) - rate / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
//
// One pass over memory, which is what it costs. All products that are added are explicit fused multiply-adds, so that
// an element's bits do not depend on its place in a vector.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/math.h"

namespace coxswain {
namespace {

// What a step needs, the same for all its elements.
struct Factors {
  float decay, step_size, root, beta1, beta2, rest1, rest2, scale, epsilon;

  explicit Factors(const AdamWStep& step)
      : beta1(step.beta1), beta2(step.beta2), scale(step.gradient_scale), epsilon(step.epsilon) {
    const auto t = static_cast<double>(step.step);
    const double rate = step.learning_rate, first = step.beta1, second = step.beta2;
    decay = static_cast<float>(1.0 - rate * static_cast<double>(step.weight_decay));
    step_size = static_cast<float>(-rate / (1.0 - std::pow(first, t)));
    root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(second, t)));
    rest1 = static_cast<float>(1.0 - first);
    rest2 = static_cast<float>(1.0 - second);
  }
};

// Seven streams are more than the processor's own prefetching keeps up with: each line is asked for ahead.
constexpr std::int64_t kGroup = 64, kAhead = 512;

template <bool rounds>
void update_group(const Factors& factors, const float* gradient, float* master, float* moment1, float* moment2,
                  bf16* working, std::int64_t count) {
  const Factors f = factors;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * f.scale;
    const float m = multiply_add(moment1[i], f.beta1, g * f.rest1);
    const float v = multiply_add(moment2[i], f.beta2, (g * f.rest2) * g);
    const float denominator = multiply_add(__builtin_sqrtf(v), f.root, f.epsilon);
    const float w = multiply_add(m / denominator, f.step_size, master[i] * f.decay);
    moment1[i] = m;
    moment2[i] = v;
    master[i] = w;
    if constexpr (rounds) put(working[i], w);
  }
}

template <bool rounds>
void update(const Backend::AdamW& op) {
  const Factors factors(op.step);
  const float* gradient = op.gradient.as<float>();
  float* master = op.master.as<float>();
  float* moment1 = op.moment1.as<float>();
  float* moment2 = op.moment2.as<float>();
  bf16* working = rounds ? op.working.as<bf16>() : nullptr;
  const std::int64_t count = op.master.elements();
#pragma omp parallel for schedule(static) if (count > 16384)
  for (std::int64_t i = 0; i < count; i += kGroup) {
    for (std::int64_t line = i + kAhead; line < i + kAhead + kGroup; line += 16) {
      __builtin_prefetch(gradient + line);
      __builtin_prefetch(master + line, 1);
      __builtin_prefetch(moment1 + line, 1);
      __builtin_prefetch(moment2 + line, 1);
    }
    update_group<rounds>(factors, gradient + i, master + i, moment1 + i, moment2 + i, rounds ? working + i : nullptr,
                         std::min(kGroup, count - i));
  }
}

}  // namespace

void CpuBackend::do_adamw(const AdamW& op) { op.working ? update<true>(op) : update<false>(op); }

}  // namespace coxswain
