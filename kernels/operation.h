// The vocabulary in which operation_checks.cpp states its rules: one operation's name, put before every complaint.
#pragma once

#include <stdexcept>
#include <string>

#include "kernels/view.h"

namespace coxswain::checks {

inline std::string text(const TensorView& view) { return std::string(name_of(view.dtype)) + " " + view.shape.str(); }

inline bool is_float(DType dtype) { return dtype != DType::i32; }

class Operation {
 public:
  explicit Operation(const char* name) : name_(name) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw std::invalid_argument(std::string(name_) + ": " + what);
  }
  void require(bool holds, const std::string& what) const {
    if (!holds) fail(what);
  }
  void shape(const char* argument, const TensorView& view, const Shape& expected) const {
    if (!view) fail(std::string(argument) + " is empty");
    if (!(view.shape == expected)) fail(std::string(argument) + " is " + text(view) + ", expected " + expected.str());
  }
  void dense(const char* argument, const TensorView& view) const {
    if (!view.is_dense()) fail(std::string(argument) + " " + text(view) + " is strided, expected dense memory");
  }
  void rank(const char* argument, const TensorView& view, int rank) const {
    if (!view) fail(std::string(argument) + " is empty");
    if (view.rank() != rank)
      fail(std::string(argument) + " is " + text(view) + ", expected rank " + std::to_string(rank));
  }
  // Rank two, rows of any stride, neighbours in a row side by side.
  void matrix(const char* argument, const TensorView& view) const {
    rank(argument, view, 2);
    last_dense(argument, view);
  }
  void matrix(const char* argument, const TensorView& view, std::int64_t rows, std::int64_t columns) const {
    shape(argument, view, {rows, columns});
    last_dense(argument, view);
  }
  void last_dense(const char* argument, const TensorView& view) const {
    const int last = view.rank() - 1;
    if (view.shape[last] > 1 && view.strides[last] != 1)
      fail(std::string(argument) + " " + text(view) + " has stride " + std::to_string(view.strides[last]) +
           " in its last dimension, expected 1");
  }
  void vector(const char* argument, const TensorView& view, std::int64_t length) const {
    shape(argument, view, {length});
    dense(argument, view);
  }
  void type(const char* argument, const TensorView& view, DType expected) const {
    if (view.dtype != expected) fail(std::string(argument) + " is " + text(view) + ", expected " + name_of(expected));
  }
  void floating(const char* argument, const TensorView& view) const {
    if (!is_float(view.dtype)) fail(std::string(argument) + " is " + text(view) + ", expected f32, bf16 or f64");
  }
  // The type in which sums over `working` values are kept.
  void sum_type(const char* argument, const TensorView& view, DType working) const {
    type(argument, view, working == DType::f64 ? DType::f64 : DType::f32);
  }
  // A parameter or result beside values of the working type: that type, or the type of its sums.
  void beside(const char* argument, const TensorView& view, DType working) const {
    if (view.dtype != working) sum_type(argument, view, working);
  }
  void integers(const char* argument, const TensorView& view, std::int64_t count) const {
    if (!view) fail(std::string(argument) + " is empty");
    type(argument, view, DType::i32);
    dense(argument, view);
    if (view.elements() != count)
      fail(std::string(argument) + " is " + text(view) + ", expected " + std::to_string(count) + " elements");
  }

 private:
  const char* name_;
};

}  // namespace coxswain::checks
