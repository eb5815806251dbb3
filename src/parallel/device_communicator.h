// The communicator that moves a backend's tensors as the deck wants it.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "parallel/nccl_communicator.h"

namespace coxswain {

// Null if the backend's tensors lie in memory of the host, which `host` moves by itself. Else `host` and `backend` must
// outlive the result, and the result what is split off it. Collective.
std::unique_ptr<Communicator> make_device_communicator(Communicator& host, Backend& backend,
                                                       const CommunicationConfig& config);

}  // namespace coxswain
