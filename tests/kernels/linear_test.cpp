// Linear layers and their gradients: against plain loops in double, against finite differences, and bit for bit at one
// and two threads.
#include "kernels/cpu/math.h"
#include "tests/kernels/reference.h"

namespace coxswain {
namespace {

using testing::expect_close;
using testing::expect_gradient;
using testing::Host;
using testing::on_one_and_two_threads;

struct Extents {
  std::int64_t m, n, k;
};
// Tails in every dimension, single rows, columns and depths, more than one tile, and a depth that is summed in parts.
const std::vector<Extents> kExtents = {{1, 1, 1},      {1, 7, 5},    {3, 7, 1},    {33, 7, 19},  {2, 300, 70},
                                       {300, 401, 33}, {70, 5, 130}, {5, 9, 6500}, {33, 136, 24}};

template <class T>
double tolerance(std::int64_t depth) {
  const double sum = std::sqrt(static_cast<double>(depth));
  return std::is_same_v<T, bf16> ? 8e-3 * sum : std::is_same_v<T, float> ? 1e-6 * sum : 1e-13 * sum;
}

std::string name(const Extents& e) {
  return std::to_string(e.m) + " x " + std::to_string(e.n) + " x " + std::to_string(e.k);
}

template <class T>
class Linear : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = testing::make_tested_backend();
};
using Types = ::testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(Linear, Types);

// Three rows of a wider matrix's columns: the views of attention's q, k and v in one product.
template <class T>
TensorView inner_columns(Host<T>& wide, std::int64_t first, std::int64_t columns) {
  return wide.view().slice(1, first, columns);
}

TYPED_TEST(Linear, ForwardIsTheProduct) {
  using T = TypeParam;
  for (const Extents& e : kExtents) {
    SCOPED_TRACE(name(e));
    Host<T> x = Host<T>::random({e.m, e.k + 3}, 1), w = Host<T>::random({e.n, e.k}, 2), y({e.m, e.n});
    Host<T> bias = Host<T>::random({e.n}, 3), activated({e.m, e.n});
    LinearEpilogue epilogue;
    for (const bool with_bias : {false, true})
      for (const Activation activation : {Activation::none, Activation::gelu, Activation::silu}) {
        epilogue.bias = with_bias ? bias.view() : TensorView();
        epilogue.activation = activation;
        epilogue.activated = activation == Activation::none ? TensorView() : activated.view();
        this->backend_->linear(inner_columns(x, 2, e.k), w, y, epilogue);
        std::vector<double> expected, expected_active;
        for (std::int64_t i = 0; i < e.m; ++i)
          for (std::int64_t j = 0; j < e.n; ++j) {
            double sum = with_bias ? bias.at(j) : 0;
            for (std::int64_t l = 0; l < e.k; ++l) sum += x.at(i * (e.k + 3) + 2 + l) * w.at(j * e.k + l);
            expected.push_back(sum);
            expected_active.push_back(apply(activation, sum));
          }
        expect_close(y, expected, tolerance<T>(e.k), "y");
        if (activation != Activation::none) expect_close(activated, expected_active, tolerance<T>(e.k), "activated");
      }
  }
}

// Calls of one shape on operands that change places: nothing of the first may be kept for the second.
TYPED_TEST(Linear, CallsOfOneShapeDoNotMixTheirOperands) {
  using T = TypeParam;
  const std::int64_t n = 136, k = 24;
  Host<T> x = Host<T>::random({1, k}, 1), w = Host<T>::random({n, k}, 2), rows({3, n});
  const Host<T> bias = Host<T>::random({n}, 3);
  std::vector<double> expected, expected_active;
  for (std::int64_t j = 0; j < n; ++j) {
    double sum = bias.at(j);
    for (std::int64_t l = 0; l < k; ++l) sum += x.at(l) * w.at(j * k + l);
    expected.push_back(sum);
    expected_active.push_back(apply(Activation::gelu, sum));
  }
  for (const std::int64_t first : {0, 1, 2, 0, 2, 1}) {
    const std::int64_t second = (first + 1) % 3, third = (first + 2) % 3;
    for (std::int64_t j = 0; j < n; ++j) rows[first * n + j] = static_cast<T>(bias.at(j));
    LinearEpilogue epilogue;
    epilogue.bias = rows.view()[first];
    epilogue.activation = Activation::gelu;
    epilogue.activated = rows.view().slice(0, third, 1);
    this->backend_->linear(x, w, rows.view().slice(0, second, 1), epilogue);
    Host<T> y({n}), activated({n});
    for (std::int64_t j = 0; j < n; ++j) y[j] = rows[second * n + j], activated[j] = rows[third * n + j];
    expect_close(y, expected, tolerance<T>(k), "y");
    expect_close(activated, expected_active, tolerance<T>(k), "activated");
  }
}

TYPED_TEST(Linear, InputGradientIsTheProduct) {
  using T = TypeParam;
  for (const Extents& e : kExtents) {
    SCOPED_TRACE(name(e));
    Host<T> dy = Host<T>::random({e.m, e.n}, 1), w = Host<T>::random({e.n, e.k}, 2), dx({e.m, e.k});
    Host<T> before = Host<T>::random({e.m, e.k}, 3, 2.0);
    for (const Activation activation : {Activation::none, Activation::gelu}) {
      GradientEpilogue epilogue;
      epilogue.activation = activation;
      if (activation != Activation::none) epilogue.pre_activation = before;
      this->backend_->linear_input_gradient(dy, w, dx, epilogue);
      std::vector<double> expected;
      for (std::int64_t i = 0; i < e.m; ++i)
        for (std::int64_t l = 0; l < e.k; ++l) {
          double sum = 0;
          for (std::int64_t j = 0; j < e.n; ++j) sum += dy.at(i * e.n + j) * w.at(j * e.k + l);
          expected.push_back(sum * apply_gradient(activation, before.at(i * e.k + l)));
        }
      expect_close(dx, expected, tolerance<T>(e.n), "dx");
    }
  }
}

TYPED_TEST(Linear, WeightGradientAddsTheProduct) {
  using T = TypeParam;
  using R = Real<T>;
  for (const Extents& e : kExtents) {
    SCOPED_TRACE(name(e));
    Host<T> dy = Host<T>::random({e.m, e.n + 4}, 1), x = Host<T>::random({e.m, e.k}, 2);
    Host<R> dw = Host<R>::random({e.n, e.k}, 3), dbias = Host<R>::random({e.n}, 4);
    std::vector<double> expected = dw.doubles(), expected_bias = dbias.doubles();
    for (std::int64_t i = 0; i < e.m; ++i)
      for (std::int64_t j = 0; j < e.n; ++j) {
        const double gradient = dy.at(i * (e.n + 4) + 1 + j);
        expected_bias[static_cast<std::size_t>(j)] += gradient;
        for (std::int64_t l = 0; l < e.k; ++l)
          expected[static_cast<std::size_t>(j * e.k + l)] += gradient * x.at(i * e.k + l);
      }
    this->backend_->linear_weight_gradient(inner_columns(dy, 1, e.n), x, dw);
    this->backend_->bias_gradient(inner_columns(dy, 1, e.n), dbias);
    const double bound = std::is_same_v<T, double> ? 1e-12 : 3e-5;  // FP32 sums, for bf16 factors too
    expect_close(dw, expected, bound, "dw");
    expect_close(dbias, expected_bias, bound, "dbias");
  }
}

TYPED_TEST(Linear, SameBitsAtOneAndTwoThreads) {
  using T = TypeParam;
  using R = Real<T>;
  const std::int64_t m = 530, n = 390, k = std::is_same_v<T, double> ? 20 : 515;
  Host<T> x = Host<T>::random({m, k}, 1), w = Host<T>::random({n, k}, 2), bias = Host<T>::random({n}, 3);
  Host<T> dy = Host<T>::random({m, n}, 4), y({m, n}), active({m, n}), dx({m, k});
  Host<T> first_y, first_active, first_dx;
  Host<R> first_dw, first_dbias;
  on_one_and_two_threads([&](int threads) {
    Host<R> dw({n, k}), dbias({n});
    LinearEpilogue epilogue;
    epilogue.bias = bias;
    epilogue.activation = Activation::gelu;
    epilogue.activated = active;
    GradientEpilogue gradient;
    gradient.activation = Activation::gelu;
    gradient.pre_activation = x;
    this->backend_->linear(x, w, y, epilogue);
    this->backend_->linear_input_gradient(dy, w, dx, gradient);
    this->backend_->linear_weight_gradient(dy, x, dw);
    this->backend_->bias_gradient(dy, dbias);
    if (threads == 1) {
      first_y = y, first_active = active, first_dx = dx, first_dw = dw, first_dbias = dbias;
      return;
    }
    EXPECT_TRUE(y.same_bits(first_y));
    EXPECT_TRUE(active.same_bits(first_active));
    EXPECT_TRUE(dx.same_bits(first_dx));
    EXPECT_TRUE(dw.same_bits(first_dw));
    EXPECT_TRUE(dbias.same_bits(first_dbias));
  });
}

TEST(LinearGradient, AgreesWithFiniteDifferences) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  const std::int64_t m = 5, n = 7, k = 6;
  Host<double> before = Host<double>::random({m, k}, 1, 2.0), w = Host<double>::random({n, k}, 2);
  Host<double> bias = Host<double>::random({n}, 3), dy = Host<double>::random({m, n}, 4);
  for (const Activation activation : {Activation::none, Activation::gelu, Activation::silu}) {
    Host<double> x({m, k}), y({m, n}), dx({m, k}), dw({n, k}), dbias({n});
    const auto loss = [&] {  // of y = activation(before) w^T + bias
      for (std::int64_t i = 0; i < x.size(); ++i) x[i] = apply(activation, before[i]);
      LinearEpilogue epilogue;
      epilogue.bias = bias;
      backend->linear(x, w, y, epilogue);
      return testing::weighted(y, dy);
    };
    loss();
    GradientEpilogue epilogue;
    epilogue.activation = activation;
    if (activation != Activation::none) epilogue.pre_activation = before;
    backend->linear_input_gradient(dy, w, dx, epilogue);
    backend->linear_weight_gradient(dy, x, dw);
    backend->bias_gradient(dy, dbias);
    expect_gradient(before, dx, loss, "dx");
    expect_gradient(w, dw, loss, "dw");
    expect_gradient(bias, dbias, loss, "dbias");
  }
}

TEST(LinearChecks, NameOperationAndShapes) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  Host<float> x({4, 6}), w({5, 7}), y({4, 5});
  try {
    backend->linear(x, w, y);
    FAIL() << "w has another number of columns than x";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "linear: x is f32 [4, 6] but w f32 [5, 7], expected as many columns");
  }
  Host<bf16> rounded({4, 7});
  EXPECT_THROW(backend->linear(rounded, w, y), std::invalid_argument);
  Host<float> good({4, 7}), wrong({5, 5});
  EXPECT_THROW(backend->linear(good, w, wrong), std::invalid_argument);
  EXPECT_THROW(backend->linear_weight_gradient(y, good, wrong), std::invalid_argument);
}

}  // namespace
}  // namespace coxswain
