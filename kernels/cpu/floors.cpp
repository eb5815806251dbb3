// What the machine can do at best: oneDNN's own matmul with its own threading, a plain copy, and reading alone, all
// with all threads.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/scratch.h"

namespace coxswain {
namespace {

using Clock = std::chrono::steady_clock;

// Median of at least three runs, for at most a quarter of a second, after one that is not counted.
double median_seconds(const std::function<void()>& run) {
  run();
  std::vector<double> seconds;
  const auto begin = Clock::now();
  while (seconds.size() < 3 || (seconds.size() < 50 && Clock::now() - begin < std::chrono::milliseconds(250))) {
    const auto start = Clock::now();
    run();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2), seconds.end());
  return seconds[seconds.size() / 2];
}

dnnl::memory::data_type type_of(DType dtype) {
  return dtype == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

dnnl::memory matrix(const dnnl::engine& engine, std::int64_t rows, std::int64_t columns, bool transposed, DType dtype) {
  const auto tag = transposed ? dnnl::memory::format_tag::ba : dnnl::memory::format_tag::ab;
  dnnl::memory memory({{rows, columns}, type_of(dtype), tag}, engine);
  std::memset(memory.get_data_handle(), 0, memory.get_desc().get_size());
  return memory;
}

std::uint64_t all_bits(const std::uint64_t* words, std::int64_t count) {
  std::uint64_t bits = 0;
#pragma omp simd reduction(| : bits)
  for (std::int64_t i = 0; i < count; ++i) bits |= words[i];
  return bits;
}

}  // namespace

double CpuBackend::library_product_seconds(LinearProduct product, DType dtype, std::int64_t m, std::int64_t n,
                                           std::int64_t k) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  dnnl::memory a, b, c;
  switch (product) {
    case LinearProduct::forward:
      a = matrix(engine, m, k, false, dtype), b = matrix(engine, k, n, true, dtype),
      c = matrix(engine, m, n, false, dtype);
      break;
    case LinearProduct::input_gradient:
      a = matrix(engine, m, n, false, dtype), b = matrix(engine, n, k, false, dtype),
      c = matrix(engine, m, k, false, dtype);
      break;
    case LinearProduct::weight_gradient:
      a = matrix(engine, n, m, true, dtype), b = matrix(engine, m, k, false, dtype);
      c = matrix(engine, n, k, false, DType::f32);
      break;
  }
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc description(engine, a.get_desc(), b.get_desc(), c.get_desc());
#else
  const dnnl::matmul::primitive_desc description({a.get_desc(), b.get_desc(), c.get_desc()}, engine);
#endif
  dnnl::matmul matmul(description);
  return median_seconds([&] {
    matmul.execute(stream, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}});
    stream.wait();
  });
}

double CpuBackend::copy_bytes_per_second() {
  constexpr std::int64_t kElements = std::int64_t{16} << 20;  // 64 MiB each way
  const Scratch<float> from(*this, kElements), to(*this, kElements);
  const float* source = from.data();
  float* target = to.data();
  do_fill(TensorView(from.data(), DType::f32, {kElements}), 0);
  const double seconds = median_seconds([&] {
#pragma omp parallel for schedule(static)
    for (std::int64_t block = 0; block < kElements; block += 4096)
      std::memcpy(target + block, source + block, 4096 * sizeof(float));
  });
  return 2.0 * static_cast<double>(kElements) * sizeof(float) / seconds;
}

double CpuBackend::read_bytes_per_second() {
  constexpr std::int64_t kWords = std::int64_t{32} << 20, kBlock = 4096;  // 256 MiB
  const Scratch<std::uint64_t> memory(*this, kWords);
  std::uint64_t* words = memory.data();
#pragma omp parallel for schedule(static)
  for (std::int64_t i = 0; i < kWords; ++i) words[i] = 0;
  std::uint64_t all = 0;
  const double seconds = median_seconds([&] {
    std::uint64_t bits = 0;
#pragma omp parallel for schedule(static) reduction(| : bits)
    for (std::int64_t block = 0; block < kWords; block += kBlock) bits |= all_bits(words + block, kBlock);
    all |= bits;
  });
  words[0] = all;  // lest the compiler leave the reading out
  return static_cast<double>(kWords) * sizeof(std::uint64_t) / seconds;
}

}  // namespace coxswain
