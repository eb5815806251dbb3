// What the kernel tests share: tensors in host memory, comparison with references computed in double, and central
// finite differences. The tested backend takes host memory, so that a view may look at a vector.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "tests/kernels/tested_backend.h"

namespace coxswain::testing {

// A dense tensor of T.
template <class T>
class Host {
 public:
  Host() = default;
  explicit Host(const Shape& shape) : shape_(shape), values_(static_cast<std::size_t>(shape.elements())) {}
  // Uniform in [-size, size), rounded to T; the same values for the same seed in every type, but for rounding.
  static Host random(const Shape& shape, unsigned seed, double size = 1.0) {
    Host host(shape);
    std::mt19937 words(seed);
    for (T& value : host.values_)
      value = static_cast<T>(static_cast<float>((static_cast<double>(words()) / 2147483648.0 - 1.0) * size));
    return host;
  }
  TensorView view() { return TensorView(values_.data(), dtype_of<T>(), shape_); }
  operator TensorView() { return view(); }
  std::vector<T>& values() { return values_; }
  const Shape& shape() const { return shape_; }
  T& operator[](std::int64_t i) { return values_[static_cast<std::size_t>(i)]; }
  double at(std::int64_t i) const { return to_double(values_[static_cast<std::size_t>(i)]); }
  std::int64_t size() const { return static_cast<std::int64_t>(values_.size()); }
  std::vector<double> doubles() const {
    std::vector<double> result;
    for (const T& value : values_) result.push_back(to_double(value));
    return result;
  }
  bool same_bits(const Host& other) const {
    return values_.size() == other.values_.size() &&
           std::memcmp(values_.data(), other.values_.data(), values_.size() * sizeof(T)) == 0;
  }

 private:
  static double to_double(double value) { return value; }
  static double to_double(float value) { return value; }
  static double to_double(bf16 value) { return static_cast<float>(value); }
  static double to_double(std::int32_t value) { return value; }

  Shape shape_;
  std::vector<T> values_;
};

inline Host<std::int32_t> integers(const Shape& shape, const std::vector<std::int32_t>& values) {
  Host<std::int32_t> host(shape);
  host.values() = values;
  return host;
}

// |actual - expected| <= tolerance * (1 + |expected|), element by element.
template <class T>
void expect_close(const Host<T>& actual, const std::vector<double>& expected, double tolerance, const char* what) {
  ASSERT_EQ(actual.size(), static_cast<std::int64_t>(expected.size())) << what;
  for (std::int64_t i = 0; i < actual.size(); ++i) {
    const double value = expected[static_cast<std::size_t>(i)];
    ASSERT_LE(std::abs(actual.at(i) - value), tolerance * (1 + std::abs(value)))
        << what << " [" << i << "]: " << actual.at(i) << ", expected " << value;
  }
}

template <class T>
double tolerance_of() {
  return std::is_same_v<T, bf16> ? 2e-2 : std::is_same_v<T, float> ? 1e-5 : 1e-11;
}

// sum_i weight[i] * x[i]: makes a loss of any output, whose gradient to that output is the weight.
inline double weighted(const Host<double>& x, const Host<double>& weight) {
  double sum = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) sum += x.at(i) * weight.at(i);
  return sum;
}

// The analytic gradient of `loss` to x, against central differences at some `points` elements spread over x.
inline void expect_gradient(Host<double>& x, const Host<double>& gradient, const std::function<double()>& loss,
                            const char* what, std::int64_t points = 60) {
  ASSERT_EQ(x.size(), gradient.size()) << what;
  const std::int64_t stride = std::max<std::int64_t>(1, x.size() / points) | 1;  // odd: meets all columns
  for (std::int64_t i = 0; i < x.size(); i += stride) {
    constexpr double kStep = 1e-5;
    const double value = x[i];
    x[i] = value + kStep;
    const double above = loss();
    x[i] = value - kStep;
    const double below = loss();
    x[i] = value;
    const double numeric = (above - below) / (2 * kStep);
    ASSERT_NEAR(gradient.at(i), numeric, 1e-7 * (1 + std::abs(numeric))) << what << " [" << i << "]";
  }
}

}  // namespace coxswain::testing
