// LayerNorm and RMSNorm, fused with the residual stream.
//
// x^ = (x - mean) r, y = x^ gamma + beta, r = 1 / sqrt(variance + epsilon); RMSNorm has mean 0 and no beta.
// With g = dy gamma and means over the row: dx = r (g - mean(g) - x^ mean(g x^)) + dresidual (RMSNorm: no mean(g)).
// dgamma = sum dy x^ and dbeta = sum dy: over blocks of 32 rows first, then block after block.
#include <omp.h>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/dropout.h"
#include "kernels/cpu/residual.h"

namespace coxswain {
namespace {

constexpr std::int64_t kRowBlock = 32;

template <class T, class R>
void norm_row(NormKind kind, R epsilon, const T* x, const R* gamma, const R* beta, T* y, R* stats, std::int64_t n) {
  R mean = 0;
  if (kind == NormKind::layer) mean = lane_sum<R>(n, [x](std::int64_t c) { return load(x[c]); }) / static_cast<R>(n);
  const R squares = lane_sum<R>(n, [x, mean](std::int64_t c) {
    const R centred = load(x[c]) - mean;
    return centred * centred;
  });
  const R inverse = R(1) / std::sqrt(squares / static_cast<R>(n) + epsilon);
  if (beta) {
#pragma omp simd
    for (std::int64_t c = 0; c < n; ++c) put(y[c], multiply_add((load(x[c]) - mean) * inverse, gamma[c], beta[c]));
  } else {
#pragma omp simd
    for (std::int64_t c = 0; c < n; ++c) put(y[c], (load(x[c]) - mean) * inverse * gamma[c]);
  }
  stats[0] = mean;
  stats[1] = inverse;
}

template <class T>
void residual_norm(Backend& backend, const Backend::ResidualNorm& op) {
  using R = Real<T>;
  const std::int64_t rows = op.x.shape[0], columns = op.x.shape[1];
  const RealVector<R> bias(backend, op.bias), gamma(backend, op.gamma), beta(backend, op.beta);
  const DropoutRow mask(op.dropout, columns);
  const Rows<T> x(op.x), delta(op.delta), sum(op.sum), y(op.y);
  const Rows<R> stats(op.stats);
  const bool dropping = delta && mask.active();
  const Scratch<R> factors(backend, dropping ? omp_get_max_threads() * columns : 0);
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* normed = x[r];
    prefetch_ahead(x[r + 1], columns);
    prefetch_ahead(y[r + 1], columns);
    if (delta) prefetch_ahead(delta[r + 1], columns), prefetch_ahead(sum[r + 1], columns);
    if (delta) {
      R* factor = dropping ? factors.data() + omp_get_thread_num() * columns : nullptr;
      if (factor) mask.fill(r, factor);
      add_residual(x[r], delta[r], bias.data(), factor, sum[r], columns);
      normed = sum[r];  // as stored: the gradient and a recomputation see the same rounded values
    }
    norm_row(op.kind, static_cast<R>(op.epsilon), normed, gamma.data(), beta.data(), y[r], stats[r], columns);
  }
}

// One row of the gradient; adds its share to dgamma and dbeta (null for RMSNorm).
template <class T, class R>
struct GradientRow {
  const T* x;
  const T* dy;
  const T* dresidual;  // or null
  T* dx;
  R mean, inverse;

  void run(bool layer, const R* gamma, R* dgamma, R* dbeta, std::int64_t n) const {
    const GradientRow row = *this;
    const auto centred = [row](std::int64_t c) { return (load(row.x[c]) - row.mean) * row.inverse; };
    const R count = static_cast<R>(n);
    R mean_g = 0;
    if (layer) mean_g = lane_sum<R>(n, [=](std::int64_t c) { return load(row.dy[c]) * gamma[c]; }) / count;
    const R mean_gx = lane_sum<R>(n, [=](std::int64_t c) { return load(row.dy[c]) * gamma[c] * centred(c); }) / count;
#pragma omp simd
    for (std::int64_t c = 0; c < n; ++c) dgamma[c] = multiply_add(R(load(row.dy[c])), centred(c), dgamma[c]);
    if (dbeta) {
#pragma omp simd
      for (std::int64_t c = 0; c < n; ++c) dbeta[c] += load(row.dy[c]);
    }
    const auto through_norm = [=](std::int64_t c) {
      return row.inverse * (multiply_add(-centred(c), mean_gx, load(row.dy[c]) * gamma[c] - mean_g));
    };
    if (row.dresidual) {
#pragma omp simd
      for (std::int64_t c = 0; c < n; ++c) put(row.dx[c], through_norm(c) + load(row.dresidual[c]));
    } else {
#pragma omp simd
      for (std::int64_t c = 0; c < n; ++c) put(row.dx[c], through_norm(c));
    }
  }
};

// total[c] += the partial sums' column c, block after block.
template <class R>
void add_blocks(const R* partial, std::int64_t blocks, std::int64_t stride, std::int64_t columns, R* total) {
  constexpr std::int64_t kColumns = 64;
#pragma omp parallel for schedule(static) if (blocks * columns >= kParallelElements)
  for (std::int64_t first = 0; first < columns; first += kColumns) {
    const std::int64_t last = std::min(first + kColumns, columns);
    R sums[kColumns] = {};
    for (std::int64_t block = 0; block < blocks; ++block)
      for (std::int64_t c = first; c < last; ++c) sums[c - first] += partial[block * stride + c];
    for (std::int64_t c = first; c < last; ++c) total[c] += sums[c - first];
  }
}

template <class T>
void norm_gradient(Backend& backend, const Backend::NormGradient& op) {
  using R = Real<T>;
  const std::int64_t rows = op.x.shape[0], columns = op.x.shape[1];
  const std::int64_t blocks = (rows + kRowBlock - 1) / kRowBlock;
  const bool layer = op.kind == NormKind::layer;
  const RealVector<R> gamma(backend, op.gamma);
  const Rows<T> x(op.x), dy(op.dy), dresidual(op.dresidual), dx(op.dx);
  const Rows<R> stats(op.stats);
  const Scratch<R> partial(backend, blocks * 2 * columns);  // [blocks, dgamma | dbeta, columns]
#pragma omp parallel for schedule(static) if (rows * columns >= kParallelElements)
  for (std::int64_t block = 0; block < blocks; ++block) {
    R* dgamma = partial.data() + block * 2 * columns;
    R* dbeta = op.dbeta ? dgamma + columns : nullptr;
    std::fill_n(dgamma, 2 * columns, R(0));
    for (std::int64_t r = block * kRowBlock; r < std::min(rows, (block + 1) * kRowBlock); ++r) {
      const T* beside = dresidual ? dresidual[r] : nullptr;
      for (const Rows<T>& next : {x, dy, dx}) prefetch_ahead(next[r + 1], columns);
      if (dresidual) prefetch_ahead(dresidual[r + 1], columns);
      GradientRow<T, R>{x[r], dy[r], beside, dx[r], stats[r][0], stats[r][1]}.run(layer, gamma.data(), dgamma, dbeta,
                                                                                  columns);
    }
  }
  add_blocks(partial.data(), blocks, 2 * columns, columns, op.dgamma.as<R>());
  if (op.dbeta) add_blocks(partial.data() + columns, blocks, 2 * columns, columns, op.dbeta.as<R>());
}

}  // namespace

void CpuBackend::do_residual_norm(const ResidualNorm& op) {
  dispatch_type(op.x.dtype, [&](auto tag) { coxswain::residual_norm<typename decltype(tag)::type>(*this, op); });
}

void CpuBackend::do_norm_gradient(const NormGradient& op) {
  dispatch_type(op.x.dtype, [&](auto tag) { coxswain::norm_gradient<typename decltype(tag)::type>(*this, op); });
}

}  // namespace coxswain
