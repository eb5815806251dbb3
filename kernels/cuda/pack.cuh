// Sixteen bytes of one type: what a thread should move at a time.
#pragma once

#include <bit>

#include "kernels/cuda/ptx.cuh"

namespace coxswain {

template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));  // elements

template <class T>
struct alignas(16) Pack {
  T values[kPack<T>];
};

// Both at 16-byte aligned addresses.
template <class T>
__device__ Pack<T> load_pack(const T* from) {
  return std::bit_cast<Pack<T>>(ptx::load_wide(from));
}
template <class T>
__device__ void store_pack(T* to, const Pack<T>& pack) {
  ptx::store_wide(to, std::bit_cast<uint4>(pack));
}

}  // namespace coxswain
