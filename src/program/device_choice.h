// The processor that the deck asks for, on every rank the same kind. Collective.
#pragma once

#include <memory>

#include "kernels/device.h"
#include "parallel/communicator.h"

namespace coxswain {

// cuda: Error(usage) with the reason where a rank has no GPU. auto: GPUs if every rank has one, else the CPU and a
// line on the console that says why.
std::unique_ptr<Backend> choose_backend(const DeviceConfig& config, Communicator& world);

}  // namespace coxswain
