// What the GPU can do at best: cuBLASLt's product alone, and a plain copy of a large array. Both of random numbers:
// zeros take less power, so a GPU multiplies them faster.
#include <algorithm>
#include <vector>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/event_timer.h"
#include "kernels/cuda/gemm.h"

namespace coxswain {
namespace {

// Median of five runs, after one that is not counted.
template <class Work>
double median_seconds(cudaStream_t stream, const Work& work) {
  Stopwatch watch;
  work();
  std::vector<double> seconds;
  for (int run = 0; run < 5; ++run) {
    watch.start(stream);
    work();
    watch.stop(stream);
    seconds.push_back(watch.seconds());
  }
  std::nth_element(seconds.begin(), seconds.begin() + 2, seconds.end());
  return seconds[2];
}

void fill_randomly(Backend& backend, TensorView view) {
  Backend::NormalFill fill;
  fill.global_columns = view.shape[1];
  fill.dst = view;
  backend.normal(fill);
}

}  // namespace

double CudaBackend::library_product_seconds(LinearProduct product, DType dtype, std::int64_t m, std::int64_t n,
                                            std::int64_t k) {
  const auto bytes = [](std::int64_t rows, std::int64_t columns) { return rows * columns * 8; };
  const Scratch<std::byte> x_memory(*this, bytes(m, k)), w_memory(*this, bytes(n, k)), y_memory(*this, bytes(m, n));
  const bool weight = product == LinearProduct::weight_gradient;
  const TensorView x(x_memory.data(), dtype, {m, k}), y(y_memory.data(), dtype, {m, n});
  const TensorView w(w_memory.data(), weight && dtype == DType::bf16 ? DType::f32 : dtype, {n, k});
  for (const TensorView& view : {x, w, y}) fill_randomly(*this, view);
  return median_seconds(stream(), [&] {
    if (product == LinearProduct::forward) gemm_->run({x, false}, {w, true}, y, false);
    if (product == LinearProduct::input_gradient) gemm_->run({y, false}, {w, false}, x, false);
    if (weight) gemm_->run({y, true}, {x, false}, w, true);
  });
}

double CudaBackend::copy_bytes_per_second() {
  constexpr std::int64_t kElements = std::int64_t{64} << 20;  // 256 MiB each way
  const Scratch<float> from(*this, kElements), to(*this, kElements);
  const TensorView source(from.data(), DType::f32, {kElements}), target(to.data(), DType::f32, {kElements});
  fill_randomly(*this, TensorView(from.data(), DType::f32, {1, kElements}));
  const double seconds = median_seconds(stream(), [&] { do_copy(source, target); });
  return 2.0 * static_cast<double>(source.bytes()) / seconds;
}

// A GPU's memory reads and writes at one rate.
double CudaBackend::read_bytes_per_second() { return copy_bytes_per_second(); }

}  // namespace coxswain
