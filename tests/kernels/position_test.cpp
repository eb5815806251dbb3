// An element's bits depend on its value, never on its place: the same values, moved along by any number of places, fall
// into vector bodies, half vectors and scalar tails, and must come out the same.
#include "tests/kernels/reference.h"

namespace coxswain {
namespace {

using testing::Host;

constexpr std::int64_t kPlaces = 67;  // whole vectors of any width and a tail

// values[(i + shift) mod n] for all i.
template <class T>
Host<T> moved(Host<T> host, std::int64_t shift) {
  Host<T> result = host;
  for (std::int64_t i = 0; i < host.size(); ++i) result[i] = host[(i + shift) % host.size()];
  return result;
}

// run(shift) makes an operation's result from inputs that were moved by `shift`.
template <class Run>
void expect_places_alike(const Run& run) {
  const auto still = run(0);
  for (const std::int64_t shift : {1, 7, 16, 33, 64}) {
    const auto result = run(shift);
    EXPECT_TRUE(result.same_bits(moved(still, shift))) << "moved by " << shift;
  }
}

template <class T>
class Position : public ::testing::Test {
 protected:
  static Host<T> values(unsigned seed, double size) { return Host<T>::random({1, kPlaces}, seed, size); }
  const std::unique_ptr<Backend> backend_ = testing::make_tested_backend();
};
using Types = ::testing::Types<float, bf16>;
TYPED_TEST_SUITE(Position, Types);

TYPED_TEST(Position, OfActivations) {
  for (const Activation activation : {Activation::gelu, Activation::silu}) {
    expect_places_alike([&](std::int64_t shift) {
      Host<TypeParam> gate = moved(this->values(1, 4), shift), up = moved(this->values(2, 1), shift), y = gate;
      this->backend_->gated(activation, gate, up, y);
      return y;
    });
    expect_places_alike([&](std::int64_t shift) {
      Host<TypeParam> gate = moved(this->values(1, 4), shift), up = moved(this->values(2, 1), shift);
      Host<TypeParam> dy = moved(this->values(3, 1), shift), dgate = dy, dup = dy;
      this->backend_->gated_gradient(activation, gate, up, dy, dgate, dup);
      return dgate;
    });
  }
}

TYPED_TEST(Position, OfSums) {
  expect_places_alike([&](std::int64_t shift) {
    Host<TypeParam> x = moved(this->values(1, 1), shift), delta = moved(this->values(2, 1), shift), sum = x;
    Host<TypeParam> bias({kPlaces});
    for (std::int64_t i = 0; i < kPlaces; ++i) bias[i] = delta[i];
    this->backend_->residual_add(x, delta, bias, {}, sum);
    return sum;
  });
}

TYPED_TEST(Position, OfCrossEntropyGradient) {
  expect_places_alike([&](std::int64_t shift) {
    Host<TypeParam> logits = moved(this->values(1, 8), shift);
    Host<std::int32_t> targets = testing::integers({1}, {-1});  // held elsewhere
    Host<float> log_sum_exp({1}), weight({1});
    log_sum_exp[0] = 3.7f, weight[0] = 0.3f;
    this->backend_->cross_entropy_gradient(targets, log_sum_exp, weight, 0, kPlaces, logits);
    return logits;
  });
}

TYPED_TEST(Position, OfAdamW) {
  expect_places_alike([&](std::int64_t shift) {
    const auto vector = [shift](unsigned seed, double size) {
      return moved(Host<float>::random({kPlaces}, seed, size), shift);
    };
    Host<float> gradient = vector(1, 1), master = vector(2, 1), moment1 = vector(3, 0.1), moment2 = vector(4, 0.1);
    for (float& value : moment2.values()) value = std::abs(value);
    Host<TypeParam> result({kPlaces});
    Host<double> scale({1});
    scale[0] = 0.7;
    Backend::AdamW op{gradient, scale, master, moment1, moment2, {}, {3e-3f, 0.9f, 0.95f, 1e-8f, 0.1f, 5}};
    if constexpr (std::is_same_v<TypeParam, bf16>) op.working = result;
    this->backend_->adamw(op);
    if constexpr (std::is_same_v<TypeParam, float>) result = master;
    return result;
  });
}

// Rows that a kernel may move sixteen bytes at a time, and the same rows one element further apart, where it may not.
template <class T>
struct Rows {
  static constexpr std::int64_t kRows = 3;
  std::int64_t columns;
  Host<T> host;

  Rows(bool are_apart, unsigned seed, double size = 1, std::int64_t of_columns = 72)
      : columns(of_columns), host({kRows, are_apart ? columns + 1 : columns}) {
    const Host<T> values = Host<T>::random({kRows, columns}, seed, size);
    for (std::int64_t i = 0; i < kRows * columns; ++i) at(i) = static_cast<T>(values.at(i));
  }
  T& at(std::int64_t i) { return host[i / columns * host.shape()[1] + i % columns]; }
  operator TensorView() { return host.view().slice(1, 0, columns); }
};

// run(are_apart) gives rows that an operation has made.
template <class Run>
void expect_rows_alike(const Run& run) {
  auto dense = run(false), apart = run(true);
  for (std::int64_t i = 0; i < dense.kRows * dense.columns; ++i)
    ASSERT_EQ(0, std::memcmp(&dense.at(i), &apart.at(i), sizeof dense.at(i))) << i << " of rows of " << dense.columns;
}

TYPED_TEST(Position, OfRowsOfAnyAlignment) {
  using T = TypeParam;
  const DropoutSpec dropout{0.3f, {5, 6}, 7};
  for (const bool second : {false, true}) {
    expect_rows_alike([&](bool apart) {
      Rows<T> gate(apart, 1, 4), up(apart, 2), dy(apart, 3), dgate(apart, 4), dup(apart, 5);
      this->backend_->gated_gradient(Activation::silu, gate, up, dy, dgate, dup);
      return second ? dup : dgate;
    });
  }
  expect_rows_alike([&](bool apart) {
    Rows<T> dsum(apart, 1), ddelta(apart, 2);
    this->backend_->dropout_gradient(dsum, dropout, ddelta);
    return ddelta;
  });
}

// Up to several turns of a GPU's threads; with a tail.
TYPED_TEST(Position, OfCrossEntropyOfRowsOfAnyAlignment) {
  using T = TypeParam;
  const std::int64_t m = Rows<T>::kRows;
  for (const std::int64_t h : {72, 9000}) {
    Host<std::int32_t> targets = testing::integers({m}, {-1, 3, 71});
    expect_rows_alike([&](bool apart) {
      Rows<T> logits(apart, 1, 8, h);
      Host<float> log_sum_exp = Host<float>::random({m}, 2, 4), weight = Host<float>::random({m}, 3);
      this->backend_->cross_entropy_gradient(targets, log_sum_exp, weight, 0, h - 1, logits);
      return logits;
    });
    Rows<T> dense(false, 1, 8, h), apart(true, 1, 8, h);
    Host<float> stats({m, 3}), of_apart({m, 3});
    this->backend_->cross_entropy_stats(dense, targets, 0, h - 1, stats);
    this->backend_->cross_entropy_stats(apart, targets, 0, h - 1, of_apart);
    EXPECT_TRUE(stats.same_bits(of_apart)) << "rows of " << h;
  }
}

// So long that a GPU gives a row to more threads, and at last too long for their registers.
TYPED_TEST(Position, OfNormsOfRowsOfAnyAlignment) {
  using T = TypeParam;
  const std::int64_t m = Rows<T>::kRows;
  for (const std::int64_t h : {72, 1032, 6152, 12296}) {
    for (const bool second : {false, true})
      expect_rows_alike([&](bool apart) {
        Rows<T> x(apart, 1, 1, h), delta(apart, 2, 1, h), sum(apart, 3, 1, h), y(apart, 4, 1, h);
        Host<float> stats({m, 2}), gamma = Host<float>::random({h}, 5), beta = Host<float>::random({h}, 6);
        Host<T> bias = Host<T>::random({h}, 7);
        const DropoutSpec dropout{h == 72 ? 0.3f : 0, {5, 6}, 7};
        this->backend_->residual_norm({NormKind::layer, 1e-5f, x, delta, bias, dropout, gamma, beta, sum, y, stats});
        return second ? sum : y;
      });
    expect_rows_alike([&](bool apart) {
      Rows<T> x(apart, 1, 1, h), dy(apart, 2, 1, h), dresidual(apart, 3, 1, h), dx(apart, 4, 1, h);
      Host<float> stats = Host<float>::random({m, 2}, 5), gamma = Host<float>::random({h}, 6), dgamma({h}), dbeta({h});
      this->backend_->norm_gradient({NormKind::layer, x, gamma, stats, dy, dresidual, dx, dgamma, dbeta});
      return dx;
    });
  }
}

}  // namespace
}  // namespace coxswain
