// AdamW in one pass over memory, which is what it costs. The formula is in kernels/adamw.h. And what it is scaled by.
#include <algorithm>

#include "kernels/adamw.h"
#include "kernels/clipping.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/math.h"

namespace coxswain {
namespace {

// Seven streams are more than the processor's own prefetching keeps up with: each line is asked for ahead.
constexpr std::int64_t kGroup = 64, kAhead = 512;

template <bool rounds>
void update_group(const AdamWFactors& factors, float scale, const float* gradient, float* master, float* moment1,
                  float* moment2, bf16* working, std::int64_t count) {
  const AdamWFactors f = factors;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    f.update(gradient[i] * scale, master[i], moment1[i], moment2[i]);
    if constexpr (rounds) put(working[i], master[i]);
  }
}

template <bool rounds>
void update(const Backend::AdamW& op) {
  const double given = *op.scale.as<double>();
  if (!(given >= 0)) return;
  const auto scale = static_cast<float>(given);
  const AdamWFactors factors(op.step);
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
    update_group<rounds>(factors, scale, gradient + i, master + i, moment1 + i, moment2 + i,
                         rounds ? working + i : nullptr, std::min(kGroup, count - i));
  }
}

}  // namespace

void CpuBackend::do_clip(const Clip& op) {
  const Clipping clipping(*op.squares.as<double>(), *op.loss.as<double>(), op.limit);
  *op.norm.as<double>() = clipping.norm;
  *op.scale.as<double>() = clipping.scale;
}

void CpuBackend::do_adamw(const AdamW& op) { op.working ? update<true>(op) : update<false>(op); }

}  // namespace coxswain
