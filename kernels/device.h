// Which processor does the arithmetic.
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace coxswain {

enum class DeviceKind { automatic, cpu, cuda };  // automatic: a GPU where build and node have one

struct DeviceConfig {
  DeviceKind kind = DeviceKind::automatic;

  void check() const;  // throws std::invalid_argument

  friend bool operator==(const DeviceConfig&, const DeviceConfig&) = default;
};

std::unique_ptr<Backend> make_backend(const DeviceConfig& config);

}  // namespace coxswain
