// What the CUDA kernels share: launches, rows of a view, element-wise work, and reductions in one fixed order.
//
// No result depends on which thread or block is first: no atomics, and every sum is a tree or a loop whose order
// follows from lengths alone. All kernels live in anonymous namespaces or are templates of this file.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/shared.cuh"
#include "kernels/dispatch.h"
#include "kernels/math.h"
#include "kernels/scratch.h"

namespace coxswain {

inline constexpr int kThreads = 256;  // of a block, unless a kernel says otherwise
inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

struct LaunchShape {
  dim3 blocks;
  dim3 threads = dim3(kThreads);
  std::size_t shared_bytes = 0;
};

template <class... Expected, class... Actual>
void launch(cudaStream_t stream, const LaunchShape& shape, void (*kernel)(Expected...), const Actual&... arguments) {
  if (shape.blocks.x == 0 || shape.blocks.y == 0 || shape.blocks.z == 0) return;
  constexpr std::size_t kWithoutAsking = std::size_t{48} << 10;
  if (shape.shared_bytes > kWithoutAsking)
    check_cuda(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes)),
        "cudaFuncSetAttribute");
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.blocks;
  config.blockDim = shape.threads;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Expected>(arguments)...), "cudaLaunchKernelEx");
}

inline unsigned pieces(std::int64_t extent, std::int64_t piece) {
  return static_cast<unsigned>((extent + piece - 1) / piece);
}

// ---- operands

// A matrix whose columns are dense.
template <class T>
struct Matrix {
  T* data = nullptr;
  std::int64_t stride = 0;

  Matrix() = default;
  explicit Matrix(const TensorView& view) {
    if (view.empty()) return;
    data = view.as<T>();
    stride = view.strides[0];
  }
  __device__ explicit operator bool() const { return data != nullptr; }
  __device__ T* operator[](std::int64_t row) const { return data + row * stride; }
};

// A vector of parameters, stored as R or as bf16, read as R.
template <class R>
struct Vector {
  const void* data = nullptr;
  bool narrow = false;

  Vector() = default;
  explicit Vector(const TensorView& view) : data(view.data), narrow(view.dtype == DType::bf16) {
    if (!narrow && !view.empty()) view.as<R>();  // the type is checked
  }
  __device__ explicit operator bool() const { return data != nullptr; }
  __device__ R operator[](std::int64_t i) const {
    return narrow ? static_cast<R>(load(static_cast<const bf16*>(data)[i])) : static_cast<const R*>(data)[i];
  }
};

// ---- element by element: body(row, column) for all of [rows, columns]

template <class Body>
__global__ void __launch_bounds__(kThreads) elementwise_kernel(Body body, std::int64_t rows, std::int64_t columns) {
  const std::int64_t count = rows * columns, step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < count; i += step)
    body(i / columns, i % columns);
}

template <class Body>
void elementwise(cudaStream_t stream, std::int64_t rows, std::int64_t columns, const Body& body) {
  constexpr unsigned kMostBlocks = 1u << 16;
  const std::int64_t blocks = (rows * columns + kThreads - 1) / kThreads;
  launch(stream, {dim3(static_cast<unsigned>(std::min<std::int64_t>(blocks, kMostBlocks)))}, elementwise_kernel<Body>,
         body, rows, columns);
}

// ---- reductions

struct Add {
  template <class R>
  __device__ R operator()(R a, R b) const {
    return a + b;
  }
};
struct Greater {  // passes not-a-numbers over
  template <class R>
  __device__ R operator()(R a, R b) const {
    return b > a ? b : a;
  }
};

// The same value on all lanes: halves exchange until one tree has joined all. Join is commutative.
template <class R, class Join>
__device__ R join_warp(R value, const Join& join) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    value = join(value, __shfl_xor_sync(kAllLanes, value, distance));
  return value;
}

// The same value on all threads of a block of whole warps: warps by trees, then warp after warp.
template <class R, class Join>
__device__ R join_block(R value, const Join& join) {
  COXSWAIN_SHARED(R, of_warps, kWarp);
  value = join_warp(value, join);
  const unsigned thread = threadIdx.x, warps = blockDim.x / kWarp;
  __syncthreads();  // the last call's values may still be read
  if (thread % kWarp == 0) of_warps[thread / kWarp] = value;
  __syncthreads();
  R result = of_warps[0];
  for (unsigned warp = 1; warp < warps; ++warp) result = join(result, of_warps[warp]);
  return result;
}

// The sum of term(0), ..., term(n - 1) on all threads of the block, one thread after another every blockDim.x terms.
template <class R, class Term>
__device__ R block_sum(std::int64_t n, const Term& term) {
  R sum = 0;
  for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += term(i);
  return join_block(sum, Add());
}
template <class R, class Term>
__device__ R block_max(std::int64_t n, R start, const Term& term) {
  R highest = start;
  for (std::int64_t i = threadIdx.x; i < n; i += blockDim.x) highest = Greater()(highest, term(i));
  return join_block(highest, Greater());
}

}  // namespace coxswain
