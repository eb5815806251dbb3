#include "parallel/device_communicator.h"

#include <stdexcept>

#include "parallel/staged_communicator.h"

namespace coxswain {

void CommunicationConfig::check() const {
  if (transport == Transport::nccl && !nccl_is_built_in())
    throw std::invalid_argument("[device] communication = nccl: this build has no NCCL; use staged or auto");
  if (!(hang_seconds > 0)) throw std::invalid_argument("[device] hang_seconds must be positive");
}

std::unique_ptr<Communicator> make_device_communicator(Communicator& host, Backend& backend,
                                                       const CommunicationConfig& config) {
  if (backend.memory_on_host()) return nullptr;
  const bool nccl = config.transport != Transport::staged && nccl_is_built_in();
  return nccl ? make_nccl_communicator(host, backend, config.hang_seconds) : make_staged_communicator(host, backend);
}

}  // namespace coxswain
