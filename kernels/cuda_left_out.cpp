// What stands in for the CUDA backend in a build without it.
#include <stdexcept>

#include "kernels/device.h"

namespace coxswain {

bool cuda_is_built_in() { return false; }

std::string missing_cuda_device(int) { return "this build has no CUDA backend"; }

std::unique_ptr<Backend> make_cuda_backend(int device, bool) { throw std::runtime_error(missing_cuda_device(device)); }

}  // namespace coxswain
