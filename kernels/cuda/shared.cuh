// Shared memory, static and dynamic, in a form that the emulation (tests/emulation) can follow.
#pragma once

#include <cuda_runtime.h>

#ifdef __CUDACC__
#define COXSWAIN_SHARED(type, name, count) __shared__ type name[count]
#else
#define COXSWAIN_SHARED(type, name, count) \
  static const char name##_key = 0;        \
  type* const name = static_cast<type*>(cuda_emulation::static_shared_memory(&name##_key, (count) * sizeof(type)))
#endif

namespace coxswain {

// What the launch has asked for: 16-byte aligned.
template <class T>
__device__ inline T* dynamic_shared() {
#ifdef __CUDACC__
  extern __shared__ __align__(16) unsigned char coxswain_dynamic_shared[];
  return reinterpret_cast<T*>(coxswain_dynamic_shared);
#else
  return static_cast<T*>(cuda_emulation::dynamic_shared_memory());
#endif
}

}  // namespace coxswain
