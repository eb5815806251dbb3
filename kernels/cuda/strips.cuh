// Element-wise work on strips of a row: as many neighbours as sixteen bytes of the narrowest operand hold, moved
// sixteen bytes at a time where all rows allow it and one by one elsewhere. An element's bits do not depend on which it
// was.
#pragma once

#include <initializer_list>
#include <type_traits>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/pack.cuh"

namespace coxswain {

template <class T, int width>
struct Strip {
  Real<T> values[width];

  Strip() = default;
  __device__ explicit Strip(const T* from) {
    if constexpr (width % kPack<T> == 0) {
      COXSWAIN_UNROLL
      for (int part = 0; part < width / kPack<T>; ++part) unpack(ptx::load_wide(from + part * kPack<T>), part);
    } else {
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) values[i] = load(from[i]);
    }
  }
  // Of sixteen bytes as they are stored.
  __device__ explicit Strip(const uint4& words) {
    static_assert(width == kPack<T>);
    unpack(words, 0);
  }
  // As they are stored, sixteen bytes from element part * kPack<T> on.
  __device__ uint4 words(int part = 0) const {
    if constexpr (std::is_same_v<T, bf16>) {  // in pairs: one instruction rounds two
      const Real<T>* v = values + part * kPack<T>;
      return {ptx::pack(v[0], v[1]), ptx::pack(v[2], v[3]), ptx::pack(v[4], v[5]), ptx::pack(v[6], v[7])};
    } else {
      Pack<T> pack;
      COXSWAIN_UNROLL
      for (int i = 0; i < kPack<T>; ++i) put(pack.values[i], values[part * kPack<T> + i]);
      return std::bit_cast<uint4>(pack);
    }
  }
  __device__ void store(T* to) const {
    if constexpr (width % kPack<T> == 0) {
      COXSWAIN_UNROLL
      for (int part = 0; part < width / kPack<T>; ++part) ptx::store_wide(to + part * kPack<T>, words(part));
    } else {
      COXSWAIN_UNROLL
      for (int i = 0; i < width; ++i) put(to[i], values[i]);
    }
  }
  __device__ Real<T>& operator[](int i) { return values[i]; }
  __device__ const Real<T>& operator[](int i) const { return values[i]; }

 private:
  __device__ void unpack(const uint4& words, int part) {
    if constexpr (std::is_same_v<T, bf16>) {
      const ptx::Pair pairs[] = {words.x, words.y, words.z, words.w};
      COXSWAIN_UNROLL
      for (int i = 0; i < 4; ++i) {
        values[part * kPack<T> + 2 * i] = ptx::first_of(pairs[i]);
        values[part * kPack<T> + 2 * i + 1] = ptx::second_of(pairs[i]);
      }
    } else {
      const auto pack = std::bit_cast<Pack<T>>(words);
      COXSWAIN_UNROLL
      for (int i = 0; i < kPack<T>; ++i) values[part * kPack<T> + i] = load(pack.values[i]);
    }
  }
};

template <int width, class R>
__device__ Strip<R, width> strip_of(const Vector<R>& vector, std::int64_t first) {
  if (!vector.narrow) return Strip<R, width>(static_cast<const R*>(vector.data) + first);
  const Strip<bf16, width> stored(static_cast<const bf16*>(vector.data) + first);
  Strip<R, width> result;
  COXSWAIN_UNROLL
  for (int i = 0; i < width; ++i) result[i] = static_cast<R>(stored[i]);
  return result;
}

// Whether all rows start at multiples of 16 bytes. An empty view does.
inline bool rows_are_wide(std::initializer_list<TensorView> views) {
  for (const TensorView& view : views) {
    if (view.empty()) continue;
    if (reinterpret_cast<std::uintptr_t>(view.data) % 16 != 0) return false;
    if (view.rank() > 1 && view.shape[0] > 1 && view.strides[0] * size_of(view.dtype) % 16 != 0) return false;
  }
  return true;
}

// Of several rows there are fewer than 2^31 strips: a division of 64 bits would cost more than the work.
template <int width, class Body>
__global__ void __launch_bounds__(kThreads)
    strips_kernel(Body body, std::int64_t first_row, std::int64_t rows, std::int64_t columns) {
  const std::int64_t across = (columns + width - 1) / width, step = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < rows * across; i += step) {
    const std::int64_t row = rows == 1 ? 0 : static_cast<unsigned>(i) / static_cast<unsigned>(across);
    const std::int64_t first = (i - row * across) * width;
    if (first + width <= columns) {
      body.template strip<width>(first_row + row, first);
    } else {
      for (std::int64_t c = first; c < columns; ++c) body.template strip<1>(first_row + row, c);
    }
  }
}

// Calls body.strip<width>(row, first column) for all of [rows, columns]. T is the narrowest of the operands' types;
// wide: all their rows are dense and start at multiples of 16 bytes.
template <class T, class Body>
void strips(cudaStream_t stream, std::int64_t rows, std::int64_t columns, bool wide, const Body& body) {
  constexpr std::int64_t kMostBlocks = 1 << 16, kMostStrips = (std::int64_t{1} << 31) - 1;
  if (rows == 0 || columns == 0) return;
  const std::int64_t across = wide ? (columns + kPack<T> - 1) / kPack<T> : columns;
  const std::int64_t at_once = std::clamp<std::int64_t>(kMostStrips / across, 1, rows);
  for (std::int64_t row = 0; row < rows; row += at_once) {
    const std::int64_t some = std::min(at_once, rows - row);
    const std::int64_t blocks = std::min((some * across + kThreads - 1) / kThreads, kMostBlocks);
    launch(stream, {dim3(static_cast<unsigned>(blocks))}, wide ? strips_kernel<kPack<T>, Body> : strips_kernel<1, Body>,
           body, row, some, columns);
  }
}

template <class T, class Body>
void strips(cudaStream_t stream, std::int64_t rows, std::int64_t columns, std::initializer_list<TensorView> operands,
            const Body& body) {
  strips<T>(stream, rows, columns, rows_are_wide(operands), body);
}

// A block's row of n elements: calls body.operator()<width>(first) for strips of it, each thread every 256th strip,
// whole ones or element after element. Where it is `wide`, n is a multiple of the width, or the row has a tail.
template <class T, bool wide, bool has_tail = false, class Body>
__device__ void each_strip(std::int64_t n, const Body& body) {
  constexpr int kWidth = kPack<T>;
  for (std::int64_t first = std::int64_t{threadIdx.x} * kWidth; first < n; first += kThreads * kWidth) {
    if (wide && (!has_tail || first + kWidth <= n)) {
      body.template operator()<kWidth>(first);
    } else {
      for (std::int64_t c = first; c < n && c < first + kWidth; ++c) body.template operator()<1>(c);
    }
  }
}

}  // namespace coxswain
