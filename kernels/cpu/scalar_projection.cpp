// One number a row: out = y w + bias, the head of reward and value models; and its gradients dy = dout w,
// dw += sum of dout y, dbias += sum of dout.
//
// A row's product is summed in the fixed lanes of lane_sum. For dw columns are shared out in strips; inside one, rows
// are summed in blocks of 64 and the blocks in turn, as for the gradient of a bias.
#include <algorithm>
#include <array>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {
namespace {

template <class T>
void weight_gradient(const Backend::ScalarProjectionGradient& op) {
  using R = Real<T>;
  constexpr std::int64_t kStrip = 128, kRows = 64;
  const std::int64_t rows = op.y.shape[0], columns = op.y.shape[1];
  const Rows<T> y(op.y);
  const R* dout = op.dout.as<R>();
  R* dw = op.dw.as<R>();
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
  for (std::int64_t first = 0; first < columns; first += kStrip) {
    const std::int64_t width = std::min(kStrip, columns - first);
    std::array<R, kStrip> total{};
    for (std::int64_t block = 0; block < rows; block += kRows) {
      std::array<R, kStrip> part{};
      for (std::int64_t row = block; row < std::min(rows, block + kRows); ++row) {
        const T* line = y[row] + first;
        const R factor = dout[row];
        R* sums = part.data();
#pragma omp simd
        for (std::int64_t c = 0; c < width; ++c) sums[c] = multiply_add(factor, load(line[c]), sums[c]);
      }
      for (std::size_t c = 0; c < total.size(); ++c) total[c] += part[c];
    }
    for (std::int64_t c = 0; c < width; ++c) dw[first + c] += total[static_cast<std::size_t>(c)];
  }
}

}  // namespace

void CpuBackend::do_scalar_projection(TensorView y, TensorView w, TensorView bias, TensorView out) {
  const std::int64_t rows = y.shape[0], columns = y.shape[1];
  dispatch_type(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const RealVector<R> weight(*this, w), offset(*this, bias);
    const R *factors = weight.data(), added = bias ? *offset.data() : R(0);
    const Rows<T> y_rows(y);
    R* results = out.as<R>();
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* x = y_rows[r];
      results[r] = added + lane_sum<R>(columns, [=](std::int64_t c) { return load(x[c]) * factors[c]; });
    }
  });
}

void CpuBackend::do_scalar_projection_gradient(const ScalarProjectionGradient& op) {
  const std::int64_t rows = op.y.shape[0], columns = op.y.shape[1];
  dispatch_type(op.y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    using R = Real<T>;
    const RealVector<R> weight(*this, op.w);
    const R *factors = weight.data(), *dout = op.dout.as<R>();
    const Rows<T> dy_rows(op.dy);
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
    for (std::int64_t r = 0; r < rows; ++r) {
      T* dy = dy_rows[r];
      const R factor = dout[r];
#pragma omp simd
      for (std::int64_t c = 0; c < columns; ++c) put(dy[c], factor * factors[c]);
    }
    weight_gradient<T>(op);
    if (op.dbias) *op.dbias.as<R>() += lane_sum<R>(rows, [=](std::int64_t r) { return dout[r]; });
  });
}

}  // namespace coxswain
