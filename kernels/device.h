// Which processor does the arithmetic.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"

namespace coxswain {

enum class DeviceKind { automatic, cpu, cuda };  // automatic: a GPU where build and node have one

struct DeviceConfig {
  DeviceKind kind = DeviceKind::automatic;

  void check() const;  // throws std::invalid_argument

  friend bool operator==(const DeviceConfig&, const DeviceConfig&) = default;
};

// The CUDA backend (kernels/cuda) on the node's GPU of that number, where it is built in. Why there is none to be had,
// or empty.
bool cuda_is_built_in();
std::string missing_cuda_device(int device);
std::unique_ptr<Backend> make_cuda_backend(int device);

}  // namespace coxswain
