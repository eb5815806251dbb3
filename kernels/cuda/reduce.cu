// Sums: of two arrays, with weights, of squares, over rows. Each has one order: a block of threads sums a piece of
// fixed length, and the pieces are added in turn. Floor: the operands through memory once.
#include "kernels/cuda/column_sums.cuh"

namespace coxswain {
namespace {

constexpr std::int64_t kPiece = 16384;

template <class T>
struct AddElement {
  const T *a, *b;
  T* sum;

  template <int width>
  __device__ void strip(std::int64_t, std::int64_t first) const {
    Strip<T, width> values(a + first);
    const Strip<T, width> added(b + first);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) values[i] += added[i];
    values.store(sum + first);
  }
};

// partial[p] = sum of x[i] y[i] over piece p; pieces start where a block of elements starts.
template <class T, bool wide>
__global__ void __launch_bounds__(kThreads)
    product_sums_kernel(const T* x, const T* y, std::int64_t count, std::int64_t block, std::int64_t pieces_in_block,
                        double* partial) {
  const std::int64_t in_block = blockIdx.x % pieces_in_block * kPiece;
  const std::int64_t start = blockIdx.x / pieces_in_block * block + in_block;
  std::int64_t length = count - start;
  length = length < kPiece ? length : kPiece;
  length = length < block - in_block ? length : block - in_block;
  double sum = 0;
  each_strip<T, wide, true>(length, [&]<int width>(std::int64_t i) {
    const Strip<T, width> a(x + start + i), b(y + start + i);
    COXSWAIN_UNROLL
    for (int e = 0; e < width; ++e) sum += static_cast<double>(a[e]) * static_cast<double>(b[e]);
  });
  sum = join_block(sum, Add());
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

struct AddPieces {
  const double* partial;
  std::int64_t pieces_in_block;
  double* out;

  __device__ void operator()(std::int64_t, std::int64_t block) const {
    double sum = 0;
    for (std::int64_t piece = 0; piece < pieces_in_block; ++piece) sum += partial[block * pieces_in_block + piece];
    out[block] = sum;
  }
};

// out[b] = sum of x y over the b-th block of `block` elements.
template <class T>
void product_sums(Backend& backend, cudaStream_t stream, const TensorView& x, const TensorView& y, std::int64_t block,
                  double* out) {
  const std::int64_t count = x.elements(), blocks = (count + block - 1) / block;
  const std::int64_t pieces_in_block = (std::min(block, count) + kPiece - 1) / kPiece;
  const Scratch<double> partial(backend, blocks * pieces_in_block);
  const bool wide = (blocks == 1 || block % kPack<T> == 0) && rows_are_wide({x.flat(), y.flat()});
  launch(stream, {dim3(static_cast<unsigned>(blocks * pieces_in_block))},
         wide ? product_sums_kernel<T, true> : product_sums_kernel<T, false>, x.as<T>(), y.as<T>(), count, block,
         pieces_in_block, partial.data());
  elementwise(stream, 1, blocks, AddPieces{partial.data(), pieces_in_block, out});
}

// One block a sum: its threads fetch pieces, one of them adds.
__global__ void __launch_bounds__(kThreads)
    ordered_sums_kernel(const double* x, const std::int32_t* places, const std::int32_t* ends, double* out) {
  COXSWAIN_SHARED(double, piece, kThreads);
  const std::int32_t end = ends[blockIdx.x];
  double sum = 0;
  for (std::int32_t start = blockIdx.x == 0 ? 0 : ends[blockIdx.x - 1]; start < end; start += kThreads) {
    const std::int32_t count = end - start < kThreads ? end - start : kThreads;
    const auto thread = static_cast<std::int32_t>(threadIdx.x);
    if (thread < count) piece[thread] = x[places[start + thread]];
    __syncthreads();
    for (std::int32_t i = 0; thread == 0 && i < count; ++i) sum += piece[i];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

template <class Type>
struct BiasGradient {
  using T = Type;
  static constexpr int kSums = 1;
  Matrix<T> dy;

  template <int width>
  __device__ Strip<T, width> load(std::int64_t r, std::int64_t c) const {
    return Strip<T, width>(dy[r] + c);
  }
  template <int width>
  __device__ void add(const Strip<T, width>& values, Strip<Real<T>, width>* sums) const {
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) sums[0][i] += values[i];
  }
};

}  // namespace

void CudaBackend::do_add(TensorView a, TensorView b, TensorView sum) {
  dispatch_type(a.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    strips<T>(stream(), 1, a.elements(), {a.flat(), b.flat(), sum.flat()},
              AddElement<T>{a.as<T>(), b.as<T>(), sum.as<T>()});
  });
}

void CudaBackend::do_weighted_sum(TensorView x, TensorView weight, TensorView out) {
  const std::int64_t count = x.elements();
  if (count == 0) return do_fill(out, 0);
  x.dtype == DType::f64 ? product_sums<double>(*this, stream(), x, weight, count, out.as<double>())
                        : product_sums<float>(*this, stream(), x, weight, count, out.as<double>());
}

void CudaBackend::do_sum_of_squares(TensorView x, std::int64_t block, TensorView out) {
  if (x.elements() == 0) return;
  x.dtype == DType::f64 ? product_sums<double>(*this, stream(), x, x, block, out.as<double>())
                        : product_sums<float>(*this, stream(), x, x, block, out.as<double>());
}

void CudaBackend::do_ordered_sums(TensorView x, TensorView places, TensorView ends, TensorView out) {
  launch(stream(), {dim3(static_cast<unsigned>(ends.elements()))}, ordered_sums_kernel, x.as<double>(),
         places.as<std::int32_t>(), ends.as<std::int32_t>(), out.as<double>());
}

void CudaBackend::do_bias_gradient(TensorView dy, TensorView dbias) {
  dispatch_type(dy.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    add_column_sums(*this, stream(), dy.shape[0], dy.shape[1], {dy}, BiasGradient<T>{Matrix<T>(dy)},
                    {dbias.as<Real<T>>()});
  });
}

}  // namespace coxswain
