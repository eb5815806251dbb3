// Memory with an owner: allocated from a Backend's pool, given back when it goes out of scope. Move-only.
#pragma once

#include <utility>

#include "kernels/backend.h"

namespace coxswain {

class Tensor {
 public:
  Tensor() = default;
  Tensor(Backend& backend, DType dtype, const Shape& shape);  // contents are undefined
  Tensor(Tensor&& other) noexcept { swap(other); }
  Tensor& operator=(Tensor&& other) noexcept {
    Tensor moved(std::move(other));
    swap(moved);
    return *this;
  }
  ~Tensor() { reset(); }

  const TensorView& view() const { return view_; }
  operator const TensorView&() const { return view_; }  // NOLINT: a tensor is used wherever a view is asked for
  TensorView operator[](std::int64_t index) const { return view_[index]; }
  const Shape& shape() const { return view_.shape; }
  DType dtype() const { return view_.dtype; }
  explicit operator bool() const { return static_cast<bool>(view_); }
  void reset() noexcept;
  // The same memory under another shape of as many elements.
  Tensor reshaped(const Shape& shape) &&;

 private:
  void swap(Tensor& other) noexcept {
    std::swap(backend_, other.backend_);
    std::swap(view_, other.view_);
    std::swap(bytes_, other.bytes_);
  }

  Backend* backend_ = nullptr;
  TensorView view_;
  std::size_t bytes_ = 0;
};

}  // namespace coxswain
