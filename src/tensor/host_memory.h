// Memory of the host with an owner, which a Backend moves at full speed to its own and from it. Move-only.
#pragma once

#include <cstddef>
#include <utility>

#include "kernels/backend.h"

namespace coxswain {

class HostMemory {
 public:
  HostMemory() = default;
  HostMemory(Backend& backend, std::size_t bytes) : backend_(&backend), data_(backend.allocate_host(bytes)) {}
  HostMemory(HostMemory&& other) noexcept { swap(other); }
  HostMemory& operator=(HostMemory&& other) noexcept {
    HostMemory moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~HostMemory() {
    if (backend_ != nullptr) backend_->release_host(data_);
  }

  explicit operator bool() const { return backend_ != nullptr; }
  void* data() const { return data_; }  // null where there is no byte, or a backend that only counts

 private:
  void swap(HostMemory& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(data_, other.data_);
  }

  Backend* backend_ = nullptr;
  void* data_ = nullptr;
};

}  // namespace coxswain
