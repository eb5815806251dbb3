// Gated feed-forward (SwiGLU, GeGLU): y = activation(gate) * up.
// dgate = dy * up * activation'(gate), dup = dy * activation(gate). Floor: three, or five, operands through memory
// once.
#include "kernels/cuda/common.cuh"

namespace coxswain {
namespace {

template <class T, Activation kind>
struct GatedElement {
  Matrix<T> gate, up, y;

  __device__ void operator()(std::int64_t r, std::int64_t c) const {
    put(y[r][c], apply<kind>(load(gate[r][c])) * load(up[r][c]));
  }
};

template <class T, Activation kind>
struct GatedGradientElement {
  Matrix<T> gate, up, dy, dgate, dup;

  __device__ void operator()(std::int64_t r, std::int64_t c) const {
    const Real<T> gate_value = load(gate[r][c]), up_value = load(up[r][c]), slope = load(dy[r][c]);
    put(dgate[r][c], slope * up_value * apply_gradient<kind>(gate_value));
    put(dup[r][c], slope * apply<kind>(gate_value));
  }
};

}  // namespace

void CudaBackend::do_gated(Activation activation, TensorView gate, TensorView up, TensorView y) {
  dispatch_type(gate.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    dispatch(activation, [&](auto kind) {
      elementwise(stream(), gate.shape[0], gate.shape[1],
                  GatedElement<T, decltype(kind)::value>{Matrix<T>(gate), Matrix<T>(up), Matrix<T>(y)});
    });
  });
}

void CudaBackend::do_gated_gradient(Activation activation, TensorView gate, TensorView up, TensorView dy,
                                    TensorView dgate, TensorView dup) {
  dispatch_type(gate.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    dispatch(activation, [&](auto kind) {
      elementwise(stream(), gate.shape[0], gate.shape[1],
                  GatedGradientElement<T, decltype(kind)::value>{Matrix<T>(gate), Matrix<T>(up), Matrix<T>(dy),
                                                                 Matrix<T>(dgate), Matrix<T>(dup)});
    });
  });
}

}  // namespace coxswain
