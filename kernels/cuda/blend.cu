// target += weight (x - target): one step of an exponential moving average, whose decay is 1 - weight.
// Floor: x and target through memory once, and target back: 12 bytes an element.
#include "kernels/cuda/strips.cuh"

namespace coxswain {
namespace {

template <class T>
struct BlendElement {
  const T* x;
  T weight;
  T* target;

  template <int width>
  __device__ void strip(std::int64_t, std::int64_t first) const {
    const Strip<T, width> values(x + first);
    Strip<T, width> means(target + first);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) means[i] = multiply_add(weight, values[i] - means[i], means[i]);
    means.store(target + first);
  }
};

}  // namespace

void CudaBackend::do_blend(TensorView x, double weight, TensorView target) {
  const std::int64_t count = target.elements();
  if (target.dtype == DType::f64) {
    strips<double>(stream(), 1, count, {x, target}, BlendElement<double>{x.as<double>(), weight, target.as<double>()});
  } else {
    strips<float>(stream(), 1, count, {x, target},
                  BlendElement<float>{x.as<float>(), static_cast<float>(weight), target.as<float>()});
  }
}

}  // namespace coxswain
