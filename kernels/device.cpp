#include "kernels/device.h"

#include <stdexcept>

namespace coxswain {

#ifdef COXSWAIN_WITH_CUDA

void DeviceConfig::check() const {}

std::unique_ptr<Backend> make_backend(const DeviceConfig& config, int local_rank) {
  if (config.kind == DeviceKind::cpu) return make_cpu_backend();
  const std::string missing = missing_cuda_device(local_rank);
  if (missing.empty()) return make_cuda_backend(local_rank);
  if (config.kind == DeviceKind::automatic) return make_cpu_backend();
  throw std::runtime_error("[device] kind = cuda: " + missing + "; use auto to run on the CPU where there is no GPU");
}

#else

void DeviceConfig::check() const {
  if (kind == DeviceKind::cuda) {
    throw std::invalid_argument("[device] kind = cuda: this build has no CUDA backend; use cpu or auto");
  }
}

std::unique_ptr<Backend> make_backend(const DeviceConfig& config, int) {
  config.check();
  return make_cpu_backend();
}

#endif

}  // namespace coxswain
