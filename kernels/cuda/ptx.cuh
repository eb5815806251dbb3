// The instructions of the GPU that C++ has no word for: products of small matrices on tensor cores, fragments of them
// from shared memory, asynchronous copies, and quick conversions. PTX ISA 9.0, sections "mma", "ldmatrix", "cp.async".
//
// All 32 lanes of a warp say mma and load_matrices together. Without nvcc the emulation's twin runs instead
// (tests/emulation/ptx.cpp), which follows the layouts below element by element.
#pragma once

#include <cuda_runtime.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/view.h"

#ifndef __CUDACC__
#include <ptx_twin.h>
#endif

// Before a loop over what lies in registers, which must be unrolled, or one whose loads should overlap.
#ifdef __CUDACC__
#define COXSWAIN_PRAGMA(text) _Pragma(#text)
#define COXSWAIN_UNROLL COXSWAIN_PRAGMA(unroll)
#define COXSWAIN_UNROLL_BY(count) COXSWAIN_PRAGMA(unroll count)
#else
#define COXSWAIN_UNROLL
#define COXSWAIN_UNROLL_BY(count)
#endif

namespace coxswain::ptx {

using Pair = std::uint32_t;  // two bf16, the first in the lower half

// c += a b for a [16, 16], b [16, 8] of bf16 and c [16, 8] of FP32. With g = lane / 4, i = 2 (lane % 4) a lane holds
//   a[0]: row g, columns i, i + 1;  a[1]: row g + 8;  a[2]: row g, columns i + 8, i + 9;  a[3]: row g + 8 of these;
//   b0: rows i, i + 1 of column g;  b1: rows i + 8, i + 9;
//   c[0], c[1]: row g, columns i, i + 1;  c[2], c[3]: row g + 8.
__device__ inline void mma(float (&c)[4], const Pair (&a)[4], Pair b0, Pair b1) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  cuda_emulation::mma(c, a, b0, b1);
#endif
}

// Four matrices [8, 8] of bf16 from shared memory. Lane 8 m + r gives the address of row r of matrix m: eight elements
// side by side, 16-byte aligned. Of matrix m a lane receives elements (lane / 4, 2 (lane % 4)) and its right neighbour.
__device__ inline void load_matrices(Pair (&parts)[4], const bf16* row) {
#ifdef __CUDACC__
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(parts[0]), "=r"(parts[1]), "=r"(parts[2]), "=r"(parts[3])
               : "r"(address)
               : "memory");
#else
  cuda_emulation::load_matrices(parts, row, false);
#endif
}
// The same of the matrices' transposes: elements (2 (lane % 4), lane / 4) and its lower neighbour.
__device__ inline void load_transposed(Pair (&parts)[4], const bf16* row) {
#ifdef __CUDACC__
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(parts[0]), "=r"(parts[1]), "=r"(parts[2]), "=r"(parts[3])
               : "r"(address)
               : "memory");
#else
  cuda_emulation::load_matrices(parts, row, true);
#endif
}

// Sixteen bytes from global to shared memory, past the registers, or sixteen zeros: `from` is then not read. Both are
// 16-byte aligned. What was asked for since the last commit_copies becomes a group at the next.
__device__ inline void copy_async(void* to_shared, const void* from, bool present) {
#ifdef __CUDACC__
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to_shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(present ? 16 : 0)
               : "memory");
#else
  cuda_emulation::copy_async(to_shared, from, present);
#endif
}
__device__ inline void commit_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  cuda_emulation::commit_copies();
#endif
}
// Waits for all groups of this thread but the `pending` newest. Other threads' copies are known only behind a barrier.
template <int pending>
__device__ inline void wait_for_copies() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#else
  cuda_emulation::wait_for_copies(pending);
#endif
}

// Two floats rounded to nearest even.
__device__ inline Pair pack(float first, float second) {
#ifdef __CUDACC__
  Pair pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#else
  return bf16(first).bits | static_cast<Pair>(bf16(second).bits) << 16;
#endif
}
__device__ inline float first_of(Pair pair) { return std::bit_cast<float>(pair << 16); }
__device__ inline float second_of(Pair pair) { return std::bit_cast<float>(pair & 0xffff0000u); }
// 2^x within two units in the last place; 0 for minus infinity.
__device__ inline float exp2(float x) {
#ifdef __CUDACC__
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return std::exp2(x);
#endif
}

// The same bits, of which the compiler does not know that they are: what it made of them before must be made again, and
// takes no registers meanwhile.
__device__ inline uint4 anew(uint4 value) {
#ifdef __CUDACC__
  asm volatile("" : "+r"(value.x), "+r"(value.y), "+r"(value.z), "+r"(value.w));
#endif
  return value;
}

// Sixteen bytes of global or shared memory at once, 16-byte aligned.
__device__ inline uint4 load_wide(const void* from) {
#ifdef __CUDACC__
  return *static_cast<const uint4*>(from);
#else
  return cuda_emulation::load_as<uint4>(from, "a load of 16 bytes");
#endif
}
// To global memory. By hand: the compiler was seen to take such stores apart.
__device__ inline void store_wide(void* to, const uint4& value) {
#ifdef __CUDACC__
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(value.x),
               "r"(value.y), "r"(value.z), "r"(value.w)
               : "memory");
#else
  cuda_emulation::store_as(to, value, "a store of 16 bytes");
#endif
}
__device__ inline void store_pair(bf16* to, Pair pair) {
#ifdef __CUDACC__
  *reinterpret_cast<Pair*>(to) = pair;
#else
  cuda_emulation::store_as(to, pair, "a store of 4 bytes");
#endif
}

}  // namespace coxswain::ptx
