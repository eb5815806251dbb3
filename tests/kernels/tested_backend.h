// The backend that the kernel tests are about: the CPU's, or, compiled with COXSWAIN_TESTS_ON_CUDA, the GPU's behind a
// mirror (mirrored_backend.h).
#pragma once

#include <omp.h>

#include <functional>
#include <memory>

#include "kernels/backend.h"

#ifdef COXSWAIN_TESTS_ON_CUDA
#include "kernels/device.h"
#include "tests/kernels/mirrored_backend.h"
#endif
#ifdef COXSWAIN_TESTS_ON_EMULATION
#include "tests/emulation/schedule.h"
#endif

namespace coxswain::testing {

#ifdef COXSWAIN_TESTS_ON_CUDA
inline constexpr bool kTestsOnCuda = true;
inline std::unique_ptr<Backend> make_tested_backend() { return make_mirrored_backend(make_cuda_backend(0)); }
#else
inline constexpr bool kTestsOnCuda = false;
inline std::unique_ptr<Backend> make_tested_backend() { return make_cpu_backend(); }
#endif

// Runs `work` on one thread and then on two; on the emulation of a GPU, in two orders of everything.
inline void on_one_and_two_threads(const std::function<void(int)>& work) {
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2}) {
    omp_set_num_threads(threads);
#ifdef COXSWAIN_TESTS_ON_EMULATION
    cuda_emulation::set_seed(cuda_emulation::seed() + 1);
#endif
    work(threads);
  }
  omp_set_num_threads(before);
}

}  // namespace coxswain::testing
