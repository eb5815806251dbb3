#include "program/device_choice.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"

namespace coxswain {

namespace {

// The number of this rank among those that see the same GPUs. A launcher may show each rank one of its own: then
// CUDA_VISIBLE_DEVICES differs, or, where Slurm hides the others, it names number 0 to all.
int device_of_rank(Communicator& world) {
  char name[256] = {};
  gethostname(name, sizeof name - 1);
  std::string sees = name;
  if (const char* devices = std::getenv("CUDA_VISIBLE_DEVICES")) sees += std::string(" ") + devices;
  if (std::getenv("SLURM_GPUS_PER_TASK") != nullptr && !missing_cuda_device(1).empty())
    sees += " rank " + std::to_string(world.rank());
  const std::vector<std::string> all = world.all_gather(sees, "hosts");
  return static_cast<int>(std::count(all.begin(), all.begin() + world.rank(), sees));
}

}  // namespace

std::unique_ptr<Backend> choose_backend(const DeviceConfig& config, Communicator& world) {
  const bool automatic = config.kind == DeviceKind::automatic;
  // A build without the CUDA backend has nothing to choose from, and nothing to say about it.
  if (config.kind == DeviceKind::cpu || (automatic && !cuda_is_built_in())) return make_cpu_backend();
  const int device = device_of_rank(world) / config.ranks_per_gpu;
  const std::string missing = missing_cuda_device(device);
  const int first = static_cast<int>(world.all_min(missing.empty() ? world.size() : world.rank(), "devices"));
  if (first == world.size()) return make_cuda_backend(device, config.graphs);
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
