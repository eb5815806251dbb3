// Gated feed-forward (SwiGLU, GeGLU): y = activation(gate) * up.
// dgate = dy * up * activation'(gate), dup = dy * activation(gate).
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {

void CpuBackend::do_gated(Activation activation, TensorView gate, TensorView up, TensorView y) {
  dispatch_type(gate.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const std::int64_t rows = gate.shape[0], columns = gate.shape[1];
    const Rows<T> gates(gate), ups(up), results(y);
    dispatch(activation, [&](auto kind) {
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
      for (std::int64_t r = 0; r < rows; ++r) {
        const T *g = gates[r], *u = ups[r];
        T *result = results[r];
#pragma omp simd
        for (std::int64_t c = 0; c < columns; ++c) put(result[c], apply<kind.value>(load(g[c])) * load(u[c]));
      }
    });
  });
}

void CpuBackend::do_gated_gradient(Activation activation, TensorView gate, TensorView up, TensorView dy,
                                   TensorView dgate, TensorView dup) {
  dispatch_type(gate.dtype, [&](auto type) {
    using T = typename decltype(type)::type;
    const std::int64_t rows = gate.shape[0], columns = gate.shape[1];
    const Rows<T> gates(gate), ups(up), dys(dy), dgates(dgate), dups(dup);
    dispatch(activation, [&](auto kind) {
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
      for (std::int64_t r = 0; r < rows; ++r) {
        const T *g = gates[r], *u = ups[r], *d = dys[r];
        T *to_gate = dgates[r], *to_up = dups[r];
#pragma omp simd
        for (std::int64_t c = 0; c < columns; ++c) {
          const auto gate_value = load(g[c]), up_value = load(u[c]), slope = load(d[c]);
          put(to_gate[c], slope * up_value * apply_gradient<kind.value>(gate_value));
          put(to_up[c], slope * apply<kind.value>(gate_value));
        }
      }
    });
  });
}

}  // namespace coxswain
