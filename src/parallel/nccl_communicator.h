// A group of ranks with a GPU each, whose tensors travel from GPU to GPU by NCCL.
//
// Every group has an NCCL communicator with a stream of its own for what all its ranks do together, and one more, of
// two ranks, for each route, so that messages of one name never wait for those of another. Events order these streams
// against the backend's: an operation begins when the backend's work that was asked for before it is done, and the
// backend's work that is asked for later (after Request::wait) begins when the operation is done. The host never waits.
// A thread looks after what is under way: an error of the network, or an operation without an end, ends the job with
// code 78. Host values travel by the communicator that this one was made from, as do the identities with which NCCL
// starts. NCCL adds nothing up: see ordered_reduce.h.
#pragma once

#include <memory>
#include <string>

#include "kernels/backend.h"
#include "parallel/communicator.h"

namespace coxswain {

enum class Transport { automatic, nccl, staged };  // automatic: NCCL where it is built in

struct CommunicationConfig {
  Transport transport = Transport::automatic;
  double hang_seconds = 600;  // the longest that an operation may take

  void check() const;  // throws std::invalid_argument
  friend bool operator==(const CommunicationConfig&, const CommunicationConfig&) = default;
};

bool nccl_is_built_in();
// `host` moves memory of the host, `backend` is the CUDA backend of this rank; both must outlive the group, and the
// group must outlive those that are split off it. Collective.
std::unique_ptr<Communicator> make_nccl_communicator(Communicator& host, Backend& backend, double hang_seconds);

}  // namespace coxswain
