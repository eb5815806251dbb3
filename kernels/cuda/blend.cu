// target += weight (x - target): one step of an exponential moving average, whose decay is 1 - weight.
#include "kernels/cuda/common.cuh"

namespace coxswain {
namespace {

template <class T>
struct BlendElement {
  const T* x;
  T weight;
  T* target;

  __device__ void operator()(std::int64_t, std::int64_t i) const {
    target[i] = multiply_add(weight, x[i] - target[i], target[i]);
  }
};

}  // namespace

void CudaBackend::do_blend(TensorView x, double weight, TensorView target) {
  const std::int64_t count = target.elements();
  if (target.dtype == DType::f64) {
    elementwise(stream(), 1, count, BlendElement<double>{x.as<double>(), weight, target.as<double>()});
  } else {
    elementwise(stream(), 1, count, BlendElement<float>{x.as<float>(), static_cast<float>(weight), target.as<float>()});
  }
}

}  // namespace coxswain
