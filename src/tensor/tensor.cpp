#include "tensor/tensor.h"

namespace coxswain {

Tensor::Tensor(Backend& backend, DType dtype, const Shape& shape)
    : backend_(&backend), bytes_(static_cast<std::size_t>(shape.elements()) * size_of(dtype)) {
  view_ = TensorView(backend.allocate(bytes_), dtype, shape);
}

void Tensor::reset() noexcept {
  if (backend_ != nullptr) backend_->release(view_.data, bytes_);
  backend_ = nullptr;
  view_ = TensorView();
  bytes_ = 0;
}

Tensor Tensor::reshaped(const Shape& shape) && {
  view_ = view_.reshape(shape);
  return std::move(*this);
}

}  // namespace coxswain
