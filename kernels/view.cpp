#include "kernels/view.h"

namespace coxswain {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 4;
    case DType::bf16:
      return 2;
    case DType::f64:
      return 8;
    case DType::i32:
      return 4;
  }
  throw std::invalid_argument("unknown element type");
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f64:
      return "f64";
    case DType::i32:
      return "i32";
  }
  return "?";
}

Shape::Shape(std::initializer_list<std::int64_t> extents) {
  for (const std::int64_t extent : extents) append(extent);
}

std::int64_t Shape::elements() const {
  std::int64_t product = 1;
  for (int dim = 0; dim < rank_; ++dim) product *= (*this)[dim];
  return product;
}

void Shape::append(std::int64_t extent) {
  if (rank_ == kMaxRank) throw std::invalid_argument("a shape has at most five dimensions");
  extents_[static_cast<std::size_t>(rank_++)] = extent;
}

Shape Shape::without_first() const {
  Shape rest;
  for (int dim = 1; dim < rank_; ++dim) rest.append((*this)[dim]);
  return rest;
}

std::string Shape::str() const {
  std::string text = "[";
  for (int dim = 0; dim < rank_; ++dim) text += (dim == 0 ? "" : ", ") + std::to_string((*this)[dim]);
  return text + "]";
}

bool operator==(const Shape& a, const Shape& b) { return a.rank_ == b.rank_ && a.extents_ == b.extents_; }

TensorView::TensorView(void* memory, DType type, const Shape& extents)
    : data(memory), dtype(type), shape(extents), strides(extents) {
  std::int64_t stride = 1;
  for (int dim = shape.rank() - 1; dim >= 0; --dim) {
    strides[dim] = stride;
    stride *= shape[dim];
  }
}

bool TensorView::is_dense() const {
  std::int64_t stride = 1;
  for (int dim = shape.rank() - 1; dim >= 0; --dim) {
    if (shape[dim] != 1 && strides[dim] != stride) return false;
    stride *= shape[dim];
  }
  return true;
}

TensorView TensorView::operator[](std::int64_t index) const {
  if (index < 0 || index >= shape[0]) throw std::out_of_range("index " + std::to_string(index) + " of " + shape.str());
  TensorView part;
  part.data = static_cast<char*>(data) + static_cast<std::size_t>(index * strides[0]) * size_of(dtype);
  part.dtype = dtype;
  part.shape = shape.without_first();
  part.strides = strides.without_first();
  return part;
}

TensorView TensorView::slice(int dim, std::int64_t start, std::int64_t count) const {
  if (start < 0 || count < 0 || start + count > shape[dim])
    throw std::out_of_range("rows " + std::to_string(start) + " + " + std::to_string(count) + " of " + shape.str());
  TensorView part = *this;
  part.data = static_cast<char*>(data) + static_cast<std::size_t>(start * strides[dim]) * size_of(dtype);
  part.shape[dim] = count;
  return part;
}

TensorView TensorView::reshape(const Shape& extents) const {
  if (extents.elements() != elements() || !is_dense())
    throw std::invalid_argument("cannot reshape " + shape.str() + " to " + extents.str());
  return TensorView(data, dtype, extents);
}

}  // namespace coxswain
