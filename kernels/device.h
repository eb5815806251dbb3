// Which processor does the arithmetic.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <string>

#include "kernels/backend.h"

namespace coxswain {

enum class DeviceKind { automatic, cpu, cuda };  // automatic: a GPU where build and node have one

struct DeviceConfig {
  DeviceKind kind = DeviceKind::automatic;
  int ranks_per_gpu = 1;
  bool graphs = true;  // whether a GPU keeps repeated work (Backend::record)

  void check() const;  // throws std::invalid_argument

  friend bool operator==(const DeviceConfig&, const DeviceConfig&) = default;
};

// A GPU has no more memory; the message says how much there is and what helps.
class DeviceMemoryFull : public std::bad_alloc {
 public:
  DeviceMemoryFull(std::size_t wanted, std::size_t free, std::size_t total);
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

// The CUDA backend (kernels/cuda) on the node's GPU of that number, where it is built in. Why there is none to be had,
// or empty.
bool cuda_is_built_in();
std::string missing_cuda_device(int device);
std::unique_ptr<Backend> make_cuda_backend(int device, bool graphs = true);

}  // namespace coxswain
