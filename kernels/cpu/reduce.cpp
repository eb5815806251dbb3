// Sums: of two arrays, with weights, of squares, over rows. Each has one order of summation, which depends on lengths
// only: fixed lanes inside a fixed piece, and the pieces in turn.
#include <algorithm>
#include <array>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {
namespace {

constexpr std::int64_t kPiece = 16384;
constexpr std::size_t kSumLanes = 16;
constexpr std::int64_t kFar = 1024;  // elements to prefetch ahead

// The lanes of a sum are folded in halves.
double fold(std::array<double, kSumLanes> lanes) {
  for (std::size_t half = kSumLanes / 2; half > 0; half /= 2)
    for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  return lanes[0];
}

// Sum of a[i] b[i] for a piece, in double: lane l takes the elements i with i mod kSumLanes = l.
template <class T>
double product_sum(const T* a, const T* b, std::int64_t count) {
  std::array<double, kSumLanes> lanes{};
  const std::int64_t whole = count / static_cast<std::int64_t>(kSumLanes) * static_cast<std::int64_t>(kSumLanes);
  for (std::int64_t i = 0; i < whole; i += static_cast<std::int64_t>(kSumLanes)) {
    const T* x = a + i;
    const T* y = b + i;
    __builtin_prefetch(x + kFar);
    __builtin_prefetch(y + kFar);
#pragma omp simd
    for (std::size_t lane = 0; lane < kSumLanes; ++lane)
      lanes[lane] = multiply_add(static_cast<double>(x[lane]), static_cast<double>(y[lane]), lanes[lane]);
  }
  for (std::int64_t i = whole; i < count; ++i) {
    double& lane = lanes[static_cast<std::size_t>(i - whole)];
    lane = multiply_add(static_cast<double>(a[i]), static_cast<double>(b[i]), lane);
  }
  return fold(lanes);
}

template <class T>
void add_typed(const TensorView& a, const TensorView& b, const TensorView& sum) {
  const T* x = a.as<T>();
  const T* y = b.as<T>();
  T* to = sum.as<T>();
  const std::int64_t count = a.elements();
#pragma omp parallel for simd schedule(static) if (parallel : count > kPiece)
  for (std::int64_t i = 0; i < count; ++i) put(to[i], load(x[i]) + load(y[i]));
}

template <class T>
void weighted_sum_typed(const TensorView& x, const TensorView& weight, double* out) {
  double total = 0;
  const std::int64_t count = x.elements();
  for (std::int64_t i = 0; i < count; i += kPiece)
    total += product_sum(x.as<T>() + i, weight.as<T>() + i, std::min(kPiece, count - i));
  *out = total;
}

template <class T>
void sum_of_squares_typed(const TensorView& x, std::int64_t block, double* out) {
  const T* values = x.as<T>();
  const std::int64_t count = x.elements(), blocks = (count + block - 1) / block;
  const std::int64_t pieces = (std::min(block, count) + kPiece - 1) / kPiece;  // in a block; they start where it starts
  std::vector<double> partial(static_cast<std::size_t>(blocks * pieces), 0.0);
#pragma omp parallel for schedule(static) if (count > kPiece)
  for (std::int64_t index = 0; index < blocks * pieces; ++index) {
    const std::int64_t start = index / pieces * block + index % pieces * kPiece;
    const std::int64_t end = std::min({start + kPiece, (index / pieces + 1) * block, count});
    if (start < end)
      partial[static_cast<std::size_t>(index)] = product_sum(values + start, values + start, end - start);
  }
  for (std::int64_t i = 0; i < blocks; ++i) {
    double total = 0;
    for (std::int64_t piece = 0; piece < pieces; ++piece)
      total += partial[static_cast<std::size_t>(i * pieces + piece)];
    out[i] = total;
  }
}

// Columns are shared out in strips; inside one, rows are summed in blocks of 64 and the blocks in turn.
template <class T>
void bias_gradient_typed(const TensorView& dy, const TensorView& dbias) {
  using R = Real<T>;
  constexpr std::int64_t kStrip = 128, kRows = 64;
  const T* from = dy.as<T>();
  R* to = dbias.as<R>();
  const std::int64_t rows = dy.shape[0], columns = dy.shape[1], stride = dy.strides[0];
#pragma omp parallel for schedule(static) if (rows * columns > kPiece)
  for (std::int64_t first = 0; first < columns; first += kStrip) {
    const std::int64_t width = std::min(kStrip, columns - first);
    std::array<R, kStrip> total{};
    for (std::int64_t block = 0; block < rows; block += kRows) {
      std::array<R, kStrip> part{};
      for (std::int64_t row = block; row < std::min(rows, block + kRows); ++row) {
        const T* line = from + row * stride + first;
        R* sums = part.data();
        prefetch_ahead(line + 8 * stride, width);
#pragma omp simd
        for (std::int64_t c = 0; c < width; ++c) sums[c] += load(line[c]);
      }
      for (std::size_t c = 0; c < total.size(); ++c) total[c] += part[c];
    }
    for (std::int64_t c = 0; c < width; ++c) to[first + c] += total[static_cast<std::size_t>(c)];
  }
}

}  // namespace

void CpuBackend::do_add(TensorView a, TensorView b, TensorView sum) {
  dispatch_type(a.dtype, [&](auto type) { add_typed<typename decltype(type)::type>(a, b, sum); });
}

void CpuBackend::do_weighted_sum(TensorView x, TensorView weight, TensorView out) {
  x.dtype == DType::f64 ? weighted_sum_typed<double>(x, weight, out.as<double>())
                        : weighted_sum_typed<float>(x, weight, out.as<double>());
}

void CpuBackend::do_sum_of_squares(TensorView x, std::int64_t block, TensorView out) {
  x.dtype == DType::f64 ? sum_of_squares_typed<double>(x, block, out.as<double>())
                        : sum_of_squares_typed<float>(x, block, out.as<double>());
}

void CpuBackend::do_ordered_sums(TensorView x, TensorView places, TensorView ends, TensorView out) {
  const std::int32_t* place = places.as<std::int32_t>();
  std::int32_t i = 0;
  for (std::int64_t s = 0; s < ends.elements(); ++s) {
    double sum = 0;
    for (; i < ends.as<std::int32_t>()[s]; ++i) sum += x.as<double>()[place[i]];
    out.as<double>()[s] = sum;
  }
}

void CpuBackend::do_bias_gradient(TensorView dy, TensorView dbias) {
  dispatch_type(dy.dtype, [&](auto type) { bias_gradient_typed<typename decltype(type)::type>(dy, dbias); });
}

}  // namespace coxswain
