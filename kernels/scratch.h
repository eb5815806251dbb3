// Memory that one operation needs for itself.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace coxswain {

// Memory for the length of one operation, from the backend's pool: a settled step takes nothing from the system.
// Only for the thread that called the backend.
template <class T>
class Scratch {
 public:
  Scratch(Backend& backend, std::int64_t count)
      : backend_(backend), bytes_(static_cast<std::size_t>(count) * sizeof(T)) {
    data_ = static_cast<T*>(backend_.allocate(bytes_));
  }
  ~Scratch() { backend_.release(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return data_; }

 private:
  Backend& backend_;
  std::size_t bytes_;
  T* data_ = nullptr;
};

}  // namespace coxswain
