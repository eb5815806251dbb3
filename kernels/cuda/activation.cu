// Gated feed-forward (SwiGLU, GeGLU): y = activation(gate) * up.
// dgate = dy * up * activation'(gate), dup = dy * activation(gate). Floor: three, or five, operands through memory
// once.
#include "kernels/cuda/strips.cuh"

namespace coxswain {
namespace {

template <class T, Activation kind>
struct GatedElement {
  Matrix<T> gate, up, y;

  template <int width>
  __device__ void strip(std::int64_t r, std::int64_t c) const {
    Strip<T, width> gates(gate[r] + c);
    const Strip<T, width> ups(up[r] + c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) gates[i] = apply<kind>(gates[i]) * ups[i];
    gates.store(y[r] + c);
  }
};

template <class T, Activation kind>
struct GatedGradientElement {
  Matrix<T> gate, up, dy, dgate, dup;

  template <int width>
  __device__ void strip(std::int64_t r, std::int64_t c) const {
    Strip<T, width> gates(gate[r] + c), ups(up[r] + c);
    const Strip<T, width> slopes(dy[r] + c);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) {
      const Real<T> value = gates[i];
      gates[i] = slopes[i] * ups[i] * apply_gradient<kind>(value);
      ups[i] = slopes[i] * apply<kind>(value);
    }
    gates.store(dgate[r] + c);
    ups.store(dup[r] + c);
  }
};

}  // namespace

void CudaBackend::do_gated(Activation activation, TensorView gate, TensorView up, TensorView y) {
  dispatch_type(gate.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    dispatch(activation, [&](auto kind) {
      strips<T>(stream(), gate.shape[0], gate.shape[1], {gate, up, y},
                GatedElement<T, decltype(kind)::value>{Matrix<T>(gate), Matrix<T>(up), Matrix<T>(y)});
    });
  });
}

void CudaBackend::do_gated_gradient(Activation activation, TensorView gate, TensorView up, TensorView dy,
                                    TensorView dgate, TensorView dup) {
  dispatch_type(gate.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    dispatch(activation, [&](auto kind) {
      strips<T>(stream(), gate.shape[0], gate.shape[1], {gate, up, dy, dgate, dup},
                GatedGradientElement<T, decltype(kind)::value>{Matrix<T>(gate), Matrix<T>(up), Matrix<T>(dy),
                                                               Matrix<T>(dgate), Matrix<T>(dup)});
    });
  });
}

}  // namespace coxswain
