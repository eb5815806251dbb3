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

// Throws std::runtime_error where the config wants a GPU and the node has none for this rank, which is the
// `local_rank`-th of its node.
std::unique_ptr<Backend> make_backend(const DeviceConfig& config, int local_rank = 0);

// Of a build with CUDA (kernels/cuda). Why the node has no GPU of that number, or empty.
std::string missing_cuda_device(int device);
std::unique_ptr<Backend> make_cuda_backend(int device);

}  // namespace coxswain
