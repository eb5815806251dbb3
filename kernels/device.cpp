#include "kernels/device.h"

#include <stdexcept>

namespace coxswain {

void DeviceConfig::check() const {
  if (kind == DeviceKind::cuda) {
    throw std::invalid_argument("[device] kind = cuda: this build has no CUDA backend; use cpu or auto");
  }
}

std::unique_ptr<Backend> make_backend(const DeviceConfig& config) {
  config.check();
  return make_cpu_backend();
}

}  // namespace coxswain
