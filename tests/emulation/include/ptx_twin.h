// Host twins of the instructions in kernels/cuda/ptx.cuh, which says what they do. Layouts are those of the PTX ISA.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cuda_emulation {

void mma(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
void load_matrices(std::uint32_t (&parts)[4], const void* row, bool transposed);

// Deferred: the place holds no number until the copy lands, which is at a random time until it is waited for.
void copy_async(void* to_shared, const void* from, bool present);
void commit_copies();
void wait_for_copies(int pending);

void require_aligned(const void* address, std::size_t bytes, const char* what);
template <class T>
T load_as(const void* from, const char* what) {
  require_aligned(from, sizeof(T), what);
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}
template <class T>
void store_as(void* to, const T& value, const char* what) {
  require_aligned(to, sizeof(T), what);
  std::memcpy(to, &value, sizeof(T));
}

}  // namespace cuda_emulation
