// What stands in for NCCL in a build without it.
#include <stdexcept>

#include "parallel/nccl_communicator.h"

namespace coxswain {

bool nccl_is_built_in() { return false; }

std::unique_ptr<Communicator> make_nccl_communicator(Communicator&, Backend&, double) {
  throw std::runtime_error("this build has no NCCL");
}

}  // namespace coxswain
