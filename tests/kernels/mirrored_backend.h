// A backend for tests that takes operands in the memory of the host and computes on another backend's: every operation
// copies what its operands span to the device, runs, and copies it back. So the tests of the CPU serve a GPU.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace coxswain::testing {

std::unique_ptr<Backend> make_mirrored_backend(std::unique_ptr<Backend> device);

}  // namespace coxswain::testing
