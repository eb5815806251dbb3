// AdamW in one pass over memory, which is its floor: gradient, master and two moments read, the last three and the
// working value written. What it is scaled by is decided on the device: the host need not know of it before it asks.
#include "kernels/adamw.h"
#include "kernels/clipping.h"
#include "kernels/cuda/strips.cuh"

namespace coxswain {
namespace {

struct AdamWElement {
  AdamWFactors factors;
  const double* scale;
  const float* gradient;
  float *master, *moment1, *moment2;
  bf16* working;  // or null

  template <int width>
  __device__ void strip(std::int64_t, std::int64_t first) const {
    if (!(*scale >= 0)) return;
    const auto factor = static_cast<float>(*scale);
    const Strip<float, width> g(gradient + first);
    Strip<float, width> w(master + first), m(moment1 + first), v(moment2 + first);
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) factors.update(g[i] * factor, w[i], m[i], v[i]);
    w.store(master + first);
    m.store(moment1 + first);
    v.store(moment2 + first);
    if (!working) return;
    Strip<bf16, width> rounded;
    COXSWAIN_UNROLL
    for (int i = 0; i < width; ++i) rounded[i] = w[i];
    rounded.store(working + first);
  }
};

struct ClipElement {
  const double *squares, *loss;
  double limit, *norm, *scale;

  __device__ void operator()(std::int64_t, std::int64_t) const {
    const Clipping clipping(*squares, *loss, limit);
    *norm = clipping.norm;
    *scale = clipping.scale;
  }
};

}  // namespace

void CudaBackend::do_clip(const Clip& op) {
  elementwise(stream(), 1, 1,
              ClipElement{op.squares.as<double>(), op.loss.as<double>(), op.limit, op.norm.as<double>(),
                          op.scale.as<double>()});
}

void CudaBackend::do_adamw(const AdamW& op) {
  const AdamWElement element{AdamWFactors(op.step),
                             op.scale.as<double>(),
                             op.gradient.as<float>(),
                             op.master.as<float>(),
                             op.moment1.as<float>(),
                             op.moment2.as<float>(),
                             op.working ? op.working.as<bf16>() : nullptr};
  strips<bf16>(stream(), 1, op.master.elements(), {op.gradient, op.master, op.moment1, op.moment2, op.working},
               element);
}

}  // namespace coxswain
