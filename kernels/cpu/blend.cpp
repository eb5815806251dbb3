// target += weight (x - target): one step of an exponential moving average, whose decay is 1 - weight.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {
namespace {

template <class T>
void blend_typed(const TensorView& x, double weight, const TensorView& target) {
  const T* from = x.as<T>();
  T* to = target.as<T>();
  const T share = static_cast<T>(weight);
  const std::int64_t count = target.elements();
#pragma omp parallel for simd schedule(static) if (parallel : count >= kParallelElements)
  for (std::int64_t i = 0; i < count; ++i) to[i] = multiply_add(share, from[i] - to[i], to[i]);
}

}  // namespace

void CpuBackend::do_blend(TensorView x, double weight, TensorView target) {
  target.dtype == DType::f64 ? blend_typed<double>(x, weight, target) : blend_typed<float>(x, weight, target);
}

}  // namespace coxswain
