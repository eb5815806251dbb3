// A group of ranks whose tensors lie in memory that the network cannot reach: they travel through memory of the host.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "parallel/communicator.h"

namespace coxswain {

// `host` moves memory of the host, `backend` owns the tensors; both must outlive the group and those split off it.
std::unique_ptr<Communicator> make_staged_communicator(Communicator& host, Backend& backend);

}  // namespace coxswain
