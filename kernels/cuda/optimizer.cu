// AdamW in one pass over memory, which is its floor: gradient, master and two moments read, the last three and the
// working value written.
#include "kernels/adamw.h"
#include "kernels/cuda/common.cuh"

namespace coxswain {
namespace {

struct AdamWElement {
  AdamWFactors factors;
  const float* gradient;
  float *master, *moment1, *moment2;
  bf16* working;  // or null

  __device__ void operator()(std::int64_t, std::int64_t i) const {
    factors.update(gradient[i], master[i], moment1[i], moment2[i]);
    if (working) put(working[i], master[i]);
  }
};

}  // namespace

void CudaBackend::do_adamw(const AdamW& op) {
  const AdamWElement element{AdamWFactors(op.step),  op.gradient.as<float>(),
                             op.master.as<float>(),  op.moment1.as<float>(),
                             op.moment2.as<float>(), op.working ? op.working.as<bf16>() : nullptr};
  elementwise(stream(), 1, op.master.elements(), element);
}

}  // namespace coxswain
