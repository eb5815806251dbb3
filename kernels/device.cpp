#include "kernels/device.h"

#include <stdexcept>

namespace coxswain {

void DeviceConfig::check() const {
  if (kind == DeviceKind::cuda && !cuda_is_built_in()) {
    throw std::invalid_argument(
        "[device] kind = cuda: this build has no CUDA backend; use cpu or auto, or build the preset cuda");
  }
}

DeviceMemoryFull::DeviceMemoryFull(std::size_t wanted, std::size_t free, std::size_t total) {
  const auto mebibytes = [](std::size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; };
  constexpr std::size_t kAlmostOne = (1 << 20) - 1;  // what is wanted is rounded up, or there would seem to be enough
  message_ = "the GPU's memory is full: " + mebibytes(wanted + kAlmostOne) + " more are wanted, " + mebibytes(free) +
             " of " + mebibytes(total) +
             " are free; more ranks, a smaller [batch] micro or [batch] recompute = full need less (see --check)";
}

}  // namespace coxswain
