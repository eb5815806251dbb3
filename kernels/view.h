// A view of shaped memory: pointer, element type, shape and strides. It owns nothing.
//
// The memory may live on a device: only a Backend may look through `data`. Strides are in elements.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

// Before functions that code for the GPU calls too.
#ifdef __CUDACC__
#define COXSWAIN_EVERYWHERE __host__ __device__
#else
#define COXSWAIN_EVERYWHERE
#endif

namespace coxswain {

enum class DType : std::uint8_t { f32, bf16, f64, i32 };

std::size_t size_of(DType dtype);  // bytes an element
const char* name_of(DType dtype);  // "f32", "bf16", "f64", "i32"

// Brain float: the upper half of an IEEE single; conversions round to nearest even.
struct bf16 {
  std::uint16_t bits = 0;

  bf16() = default;
  COXSWAIN_EVERYWHERE explicit bf16(float value) {
#ifdef __CUDA_ARCH__
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
#else
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t rounded = word + 0x7fffu + ((word >> 16) & 1u);
    const bool is_nan = (word & 0x7fffffffu) > 0x7f800000u;
    bits = static_cast<std::uint16_t>(is_nan ? (word >> 16) | 0x40u : rounded >> 16);
#endif
  }
  COXSWAIN_EVERYWHERE explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
};

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<bf16>() {
  return DType::bf16;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::i32;
}

// Up to five extents. Rank zero is a scalar with one element.
class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents);

  int rank() const { return rank_; }
  std::int64_t operator[](int dim) const { return extents_[static_cast<std::size_t>(dim)]; }
  std::int64_t& operator[](int dim) { return extents_[static_cast<std::size_t>(dim)]; }
  std::int64_t elements() const;
  void append(std::int64_t extent);
  Shape without_first() const;
  std::string str() const;  // "[4, 256, 768]"
  friend bool operator==(const Shape& a, const Shape& b);

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

struct TensorView {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;
  Shape strides;  // elements between neighbours in each dimension

  TensorView() = default;
  TensorView(void* memory, DType type, const Shape& extents);  // dense, row-major

  bool empty() const { return data == nullptr; }
  explicit operator bool() const { return data != nullptr; }
  int rank() const { return shape.rank(); }
  std::int64_t elements() const { return shape.elements(); }
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(dtype); }
  bool is_dense() const;  // row-major without gaps

  TensorView operator[](std::int64_t index) const;                          // drops the first dimension
  TensorView slice(int dim, std::int64_t start, std::int64_t count) const;  // same rank
  TensorView reshape(const Shape& extents) const;                           // dense views only
  TensorView flat() const { return reshape({elements()}); }                 // dense views only

  // The first element, for code that runs where the memory lives. Throws if T is not the element type.
  template <class T>
  T* as() const {
    if (dtype != dtype_of<T>()) throw std::invalid_argument(std::string("view holds ") + name_of(dtype));
    return static_cast<T*>(data);
  }
};

}  // namespace coxswain
