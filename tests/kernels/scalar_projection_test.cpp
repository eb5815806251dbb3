// The scalar head's product and its gradients.
#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

template <class T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

template <class T>
class ScalarProjection : public ::testing::Test {};
using Types = ::testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(ScalarProjection, Types);

TYPED_TEST(ScalarProjection, AgreesWithReferenceWithAndWithoutBias) {
  using T = TypeParam;
  using S = Sum<T>;
  const auto backend = make_tested_backend();
  const std::int64_t m = 37, h = 133;
  auto y = Host<T>::random({m, h}, 1);
  auto w = Host<T>::random({h}, 2);
  auto bias = Host<S>::random({1}, 3);
  Host<S> out({m});
  for (const bool with_bias : {false, true}) {
    std::vector<double> expected;
    for (std::int64_t r = 0; r < m; ++r) {
      double sum = with_bias ? bias.at(0) : 0;
      for (std::int64_t c = 0; c < h; ++c) sum += y.at(r * h + c) * w.at(c);
      expected.push_back(sum);
    }
    backend->scalar_projection(y, w, with_bias ? bias.view() : TensorView(), out);
    expect_close(out, expected, std::is_same_v<T, double> ? 1e-13 : 1e-5, "out");
  }
}

TYPED_TEST(ScalarProjection, GradientsAgreeWithReferenceAndAddUp) {
  using T = TypeParam;
  using S = Sum<T>;
  const auto backend = make_tested_backend();
  const std::int64_t m = 150, h = 133;
  auto y = Host<T>::random({m, h}, 1);
  auto w = Host<T>::random({h}, 2);
  auto dout = Host<S>::random({m}, 3);
  Host<T> dy({m, h});
  Host<S> dw({h}), dbias({1});
  dbias[0] = 5;
  for (S& value : dw.values()) value = 10;
  backend->scalar_projection_gradient({dout, y, w, dy, dw, dbias});
  std::vector<double> of_y, of_w(static_cast<std::size_t>(h), 10.0);
  double of_bias = 5;
  for (std::int64_t r = 0; r < m; ++r) {
    of_bias += dout.at(r);
    for (std::int64_t c = 0; c < h; ++c) {
      of_y.push_back(dout.at(r) * w.at(c));
      of_w[static_cast<std::size_t>(c)] += dout.at(r) * y.at(r * h + c);
    }
  }
  expect_close(dy, of_y, tolerance_of<T>(), "dy");
  expect_close(dw, of_w, std::is_same_v<T, double> ? 1e-13 : 1e-5, "dw");
  expect_close(dbias, {of_bias}, std::is_same_v<T, double> ? 1e-13 : 1e-5, "dbias");
  backend->scalar_projection_gradient({dout, y, w, dy, dw, {}});  // no bias
  EXPECT_NEAR(dbias.at(0), of_bias, 1e-4);
}

TEST(ScalarProjectionGradient, EqualsFiniteDifferences) {
  const auto backend = make_tested_backend();
  auto y = Host<double>::random({5, 40}, 1), w = Host<double>::random({40}, 2), bias = Host<double>::random({1}, 3);
  auto dout = Host<double>::random({5}, 4);
  const auto loss = [&] {
    Host<double> out({5});
    backend->scalar_projection(y, w, bias, out);
    return weighted(out, dout);
  };
  Host<double> dy({5, 40}), dw({40}), dbias({1});
  backend->scalar_projection_gradient({dout, y, w, dy, dw, dbias});
  expect_gradient(y, dy, loss, "dy");
  expect_gradient(w, dw, loss, "dw");
  expect_gradient(bias, dbias, loss, "dbias");
}

TEST(ScalarProjection, BitsDoNotDependOnThreadsOrOnOtherRows) {
  const std::int64_t m = 130, h = 517;
  auto y = Host<bf16>::random({m, h}, 1);
  auto w = Host<float>::random({h}, 2), dout = Host<float>::random({m}, 3);
  std::vector<Host<float>> outs, weights, biases;
  std::vector<Host<bf16>> inputs;
  on_one_and_two_threads([&](int) {
    const auto backend = make_tested_backend();
    Host<float> out({m}), dw({h}), dbias({1}), alone({1});
    Host<bf16> dy({m, h});
    backend->scalar_projection(y, w, {}, out);
    backend->scalar_projection_gradient({dout, y, w, dy, dw, dbias});
    backend->scalar_projection(y.view().slice(0, 77, 1), w, {}, alone);
    EXPECT_EQ(alone[0], out[77]);
    outs.push_back(out), weights.push_back(dw), biases.push_back(dbias), inputs.push_back(dy);
  });
  EXPECT_TRUE(outs[0].same_bits(outs[1]));
  EXPECT_TRUE(weights[0].same_bits(weights[1]));
  EXPECT_TRUE(biases[0].same_bits(biases[1]));
  EXPECT_TRUE(inputs[0].same_bits(inputs[1]));
}

}  // namespace
}  // namespace coxswain::testing
