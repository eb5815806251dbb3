// One backend against another, operation by operation: the tested one in f32 within 1e-5 of the CPU's, and in bf16
// within two units in the last place of the CPU's FP32 result on the same (bf16) inputs, rounded once.
//
// A case is a function of the element type that calls operations and hands over what they wrote. Where an element is
// small beside the others of its result (sums that cancel) the tolerance is that of the result's root mean square.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "tests/kernels/reference.h"

namespace coxswain::testing {

struct Output {
  std::string name;
  std::vector<double> values;
  std::vector<unsigned char> bits;
  bool narrow = false;   // of the tested type where that is bf16
  bool cancels = false;  // terms are as large as the largest result, and most of them cancel
};

// One run of a case on a backend.
struct Trial {
  Backend& backend;
  bool rounds;  // inputs are numbers of bf16, whatever they are stored as
  std::vector<Output> outputs;

  template <class T>
  Host<T> input(const Shape& shape, unsigned seed, double size = 1.0) const {
    Host<T> host = Host<T>::random(shape, seed, size);
    if (rounds)
      for (T& value : host.values()) value = static_cast<T>(static_cast<float>(bf16(static_cast<float>(value))));
    return host;
  }
  // Multiples of 1/8 below `size`: sums of a few are numbers of bf16 too.
  template <class T>
  Host<T> coarse(const Shape& shape, unsigned seed, double size = 4.0) const {
    Host<float> exact = Host<float>::random(shape, seed, size);
    Host<T> host(shape);
    for (std::int64_t i = 0; i < host.size(); ++i) host[i] = static_cast<T>(std::round(exact[i] * 8) / 8);
    return host;
  }
  template <class T>
  void output(const std::string& name, const Host<T>& host, bool cancels = false) {
    Host<T> copy = host;
    const auto* bytes = reinterpret_cast<const unsigned char*>(copy.values().data());
    outputs.push_back(
        {name, host.doubles(), {bytes, bytes + copy.values().size() * sizeof(T)}, std::is_same_v<T, bf16>, cancels});
  }
};

struct AgreementCase {
  std::string name;
  std::function<void(Trial&)> in_float, in_bf16;  // the latter is empty where there is no bf16 to the operation
};

// `body` is called as body.template operator()<T>(trial).
template <class Body>
AgreementCase both_types(std::string name, Body body) {
  return {std::move(name), [body](Trial& trial) { body.template operator()<float>(trial); },
          [body](Trial& trial) { body.template operator()<bf16>(trial); }};
}

inline double ulp_of_bf16(double value) {
  return value == 0 ? 0x1p-133 : std::ldexp(1.0, std::max(std::ilogb(value), -126) - 7);
}

// The largest errors so far: relative, and in units in the last place.
struct Worst {
  double in_float = 0, in_bf16 = 0;
};

inline void expect_agreement(const Output& actual, const Output& expected, bool narrow, Worst& worst) {
  ASSERT_EQ(actual.values.size(), expected.values.size());
  double squares = 0, largest = 0;
  for (const double value : expected.values)
    if (std::isfinite(value)) squares += value * value, largest = std::max(largest, std::abs(value));
  const double mean = squares / static_cast<double>(std::max<std::size_t>(1, expected.values.size()));
  const double usual = narrow && expected.cancels ? largest : std::sqrt(mean);
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    double right = expected.values[i];
    if (std::isnan(right) && std::isnan(actual.values[i])) continue;
    if (narrow) right = static_cast<double>(static_cast<float>(bf16(static_cast<float>(right))));
    const double size = std::max(std::abs(right), usual);
    const double tolerance = narrow ? 2 * ulp_of_bf16(size) : 1e-5 * size, error = std::abs(actual.values[i] - right);
    double& largest_error = narrow ? worst.in_bf16 : worst.in_float;
    if (error > 0) largest_error = std::max(largest_error, error / (narrow ? ulp_of_bf16(size) : size));
    ASSERT_LE(error, tolerance) << actual.name << " [" << i << "]: " << actual.values[i] << ", the CPU's " << right;
  }
}

}  // namespace coxswain::testing
