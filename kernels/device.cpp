#include "kernels/device.h"

#include <stdexcept>

namespace coxswain {

void DeviceConfig::check() const {
  if (kind == DeviceKind::cuda && !cuda_is_built_in()) {
    throw std::invalid_argument("[device] kind = cuda: this build has no CUDA backend; use cpu or auto");
  }
}

}  // namespace coxswain
