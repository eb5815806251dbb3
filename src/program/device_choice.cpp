#include "program/device_choice.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"

namespace coxswain {

namespace {

// The number of this rank among those of its node.
int local_rank(Communicator& world) {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  const std::vector<std::string> hosts = world.all_gather(std::string(name), "hosts");
  return static_cast<int>(std::count(hosts.begin(), hosts.begin() + world.rank(), std::string(name)));
}

}  // namespace

std::unique_ptr<Backend> choose_backend(const DeviceConfig& config, Communicator& world) {
  const bool automatic = config.kind == DeviceKind::automatic;
  // A build without the CUDA backend has nothing to choose from, and nothing to say about it.
  if (config.kind == DeviceKind::cpu || (automatic && !cuda_is_built_in())) return make_cpu_backend();
  const int device = local_rank(world);
  const std::string missing = missing_cuda_device(device);
  const int first = static_cast<int>(world.all_min(missing.empty() ? world.size() : world.rank(), "devices"));
  if (first == world.size()) return make_cuda_backend(device);
  const std::string reason = world.broadcast(missing, first, "devices");
  if (automatic) {
    if (world.rank() == 0) fmt::print(stderr, "[device] kind = auto: rank {}: {}; running on the CPU\n", first, reason);
    return make_cpu_backend();
  }
  throw Error(ExitCode::usage,
              fmt::format("[device] kind = cuda: rank {}: {}; use auto to run on the CPU where there is "
                          "no GPU",
                          first, reason));
}

}  // namespace coxswain
