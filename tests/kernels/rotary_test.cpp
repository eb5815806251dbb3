// Rotary positions.
#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

template <class T>
class Rotary : public ::testing::Test {};
using Types = ::testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(Rotary, Types);

TYPED_TEST(Rotary, TurnsPairsByTheirAngles) {
  using T = TypeParam;
  const auto backend = make_tested_backend();
  const std::int64_t b = 2, t = 3, heads = 2, d = 6;
  auto x = Host<T>::random({b, t, heads, d}, 1);
  const Host<T> before = x;
  auto positions = integers({b, t}, {0, 1, 2, 7, 0, 100});
  backend->rotary(x, positions, 10000.0, 1);
  std::vector<double> expected(static_cast<std::size_t>(x.size()));
  for (std::int64_t head = 0; head < b * t * heads; ++head)
    for (std::int64_t i = 0; i < d / 2; ++i) {
      const double angle = positions.at(head / heads) * std::pow(10000.0, -2.0 * static_cast<double>(i) / d);
      const double first = before.at(head * d + i), second = before.at(head * d + i + d / 2);
      expected[static_cast<std::size_t>(head * d + i)] = first * std::cos(angle) - second * std::sin(angle);
      expected[static_cast<std::size_t>(head * d + i + d / 2)] = second * std::cos(angle) + first * std::sin(angle);
    }
  expect_close(x, expected, tolerance_of<T>(), "rotated");
  backend->rotary(x, positions, 10000.0, -1);
  expect_close(x, before.doubles(), tolerance_of<T>(), "turned back");
}

// On a GPU: sixteen bytes at a time, and one by one.
TYPED_TEST(Rotary, HasTheSameBitsWhereverHeadsLie) {
  using T = TypeParam;
  const auto backend = make_tested_backend();
  const std::int64_t t = 20, heads = 10, d = 32;
  auto x = Host<T>::random({t, heads * d}, 1);
  Host<std::int32_t> positions({1, t});
  for (std::int64_t i = 0; i < t; ++i) positions[i] = static_cast<std::int32_t>(3 * i);
  std::vector<Host<T>> rotated(2, Host<T>({t, heads * d}));
  for (const int before : {0, 1}) {
    const std::int64_t row = heads * d + before;
    Host<T> rows({t, row});
    for (std::int64_t i = 0; i < x.size(); ++i) rows[i / (heads * d) * row + before + i % (heads * d)] = x[i];
    TensorView view = rows.view().slice(1, before, heads * d);
    view.shape = {1, t, heads, d};
    view.strides = {t * row, row, d, 1};
    backend->rotary(view, positions, 10000.0, 1);
    for (std::int64_t i = 0; i < x.size(); ++i)
      rotated[static_cast<std::size_t>(before)][i] = rows[i / (heads * d) * row + before + i % (heads * d)];
  }
  EXPECT_TRUE(rotated[0].same_bits(rotated[1]));
}

TEST(RotaryGradient, EqualsFiniteDifferencesOnStridedHeads) {
  const auto backend = make_tested_backend();
  const std::int64_t b = 1, t = 4, heads = 2, d = 8;
  auto x = Host<double>::random({b, t, 3 * heads * d}, 1);  // q, k and v side by side
  auto weight = Host<double>::random({b, t, 3 * heads * d}, 2);
  auto positions = integers({b, t}, {0, 1, 2, 3});
  const auto queries = [&](Host<double>& host) {
    TensorView view = host.view().slice(2, 0, heads * d);
    view.shape = {b, t, heads, d};
    view.strides = {t * 3 * heads * d, 3 * heads * d, d, 1};
    return view;
  };
  const auto loss = [&] {
    Host<double> rotated = x;
    backend->rotary(queries(rotated), positions, 500.0, 1);
    return weighted(rotated, weight);
  };
  Host<double> gradient = weight;
  backend->rotary(queries(gradient), positions, 500.0, -1);
  expect_gradient(x, gradient, loss, "dx");
}

}  // namespace
}  // namespace coxswain::testing
