// Rotary positions (Su et al., "RoFormer", eq. 34), pairs (i, i + d/2): the pair turns by position * base^(-2 i / d).
// Direction -1 turns back, which is the gradient. A thread has one pair of all heads of a token, so that its sine and
// cosine, which are computed in double, are computed once.
#include "kernels/cuda/common.cuh"

namespace coxswain {
namespace {

template <class T>
struct RotaryPair {
  T* heads;
  std::int64_t t, count, half, b_stride, t_stride, head_stride;
  const std::int32_t* positions;
  double base, direction;

  __device__ void operator()(std::int64_t token, std::int64_t i) const {
    using R = Real<T>;
    const double frequency = std::pow(base, -static_cast<double>(i) / static_cast<double>(half));
    const double angle = static_cast<double>(positions[token]) * frequency;
    const R cosine = static_cast<R>(std::cos(angle)), sine = static_cast<R>(direction * std::sin(angle));
    T* pair = heads + token / t * b_stride + token % t * t_stride + i;
    for (std::int64_t head = 0; head < count; ++head, pair += head_stride) {
      const R first = load(pair[0]), second = load(pair[half]);
      put(pair[0], multiply_add(first, cosine, -(second * sine)));
      put(pair[half], multiply_add(second, cosine, first * sine));
    }
  }
};

}  // namespace

void CudaBackend::do_rotary(TensorView heads, TensorView positions, double base, int direction) {
  dispatch_type(heads.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const std::int64_t half = heads.shape[3] / 2;
    const RotaryPair<T> pair{heads.as<T>(),
                             heads.shape[1],
                             heads.shape[2],
                             half,
                             heads.strides[0],
                             heads.strides[1],
                             heads.strides[2],
                             positions.as<std::int32_t>(),
                             base,
                             static_cast<double>(direction)};
    elementwise(stream(), heads.shape[0] * heads.shape[1], half, pair);
  });
}

}  // namespace coxswain
