// For tests of transfers and of the order of work: a backend without a mirror, which would upload, wait and download
// around each operation, and numbers in its memory.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "tests/kernels/tested_backend.h"

namespace coxswain::testing {

inline std::unique_ptr<Backend> make_backend() {
#ifdef COXSWAIN_TESTS_ON_CUDA
  return make_cuda_backend(0);
#else
  return make_cpu_backend();
#endif
}

class Floats {
 public:
  Floats(Backend& backend, std::int64_t count)
      : backend_(&backend), view_(backend.allocate(static_cast<std::size_t>(count) * 4), DType::f32, Shape{count}) {}
  Floats(Floats&& other) noexcept : backend_(other.backend_), view_(std::exchange(other.view_, TensorView())) {}
  ~Floats() { backend_->release(view_.data, view_.bytes()); }
  operator TensorView() const { return view_; }
  std::vector<float> values() const {
    std::vector<float> host(static_cast<std::size_t>(view_.shape[0]));
    backend_->download(view_, host.data());
    return host;
  }

 private:
  Backend* backend_;
  TensorView view_;
};

}  // namespace coxswain::testing
