// From a type or an activation known at run time to one known at compile time.
#pragma once

#include <stdexcept>
#include <string>

#include "kernels/backend.h"

namespace coxswain {

template <class T>
struct TypeTag {
  using type = T;
};

// Calls body(TypeTag<T>) for the element type of a view of numbers.
template <class Body>
void dispatch_type(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::f32:
      return body(TypeTag<float>{});
    case DType::bf16:
      return body(TypeTag<bf16>{});
    case DType::f64:
      return body(TypeTag<double>{});
    case DType::i32:
      break;
  }
  throw std::invalid_argument(std::string("no arithmetic on ") + name_of(dtype));
}

template <Activation kind>
struct ActivationTag {
  static constexpr Activation value = kind;
};
// Calls body(tag) with the activation as a constant: dispatch(a, [&](auto tag) { ... apply<tag.value>(x) ... }).
template <class Body>
inline void dispatch(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::none:
      return body(ActivationTag<Activation::none>{});
    case Activation::gelu:
      return body(ActivationTag<Activation::gelu>{});
    case Activation::silu:
      return body(ActivationTag<Activation::silu>{});
  }
}

}  // namespace coxswain
