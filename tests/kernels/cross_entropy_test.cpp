// Cross-entropy over one and several vocabulary shards, with padding columns.
#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

template <class T>
using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Logits [m, v] cut into shards of `width` columns; the last one is padded with columns that must not count.
template <class T>
struct Sharded {
  using S = Sum<T>;
  std::int64_t m, v, shards, width;
  std::vector<Host<T>> logits;
  Host<S> loss, log_sum_exp;

  Sharded(const Host<T>& whole, std::int64_t shard_count)
      : m(whole.shape()[0]),
        v(whole.shape()[1]),
        shards(shard_count),
        width((v + shards - 1) / shards),
        loss({m}),
        log_sum_exp({m}) {
    for (std::int64_t s = 0; s < shards; ++s) {
      logits.emplace_back(Shape{m, width});
      for (std::int64_t i = 0; i < m * width; ++i) {
        const std::int64_t column = s * width + i % width;
        logits.back()[i] = column < v ? static_cast<T>(static_cast<S>(whole.at(i / width * v + column)))
                                      : static_cast<T>(static_cast<S>(1000));
      }
    }
  }
  std::int64_t valid(std::int64_t s) const { return std::max<std::int64_t>(0, std::min(width, v - s * width)); }
  double forward(Backend& backend, Host<std::int32_t>& targets, const Host<S>& weight) {
    Host<S> stats({shards, m, 3});
    for (std::int64_t s = 0; s < shards; ++s)
      backend.cross_entropy_stats(logits[static_cast<std::size_t>(s)], targets, s * width, valid(s), stats.view()[s]);
    backend.cross_entropy_combine(stats, loss, log_sum_exp);
    double sum = 0;
    for (std::int64_t r = 0; r < m; ++r) sum += loss.at(r) * weight.at(r);
    return sum;
  }
  // The gradient of all columns [m, v]; padding must have become 0.
  Host<T> backward(Backend& backend, Host<std::int32_t>& targets, Host<S>& weight) {
    Host<T> gradient({m, v});
    for (std::int64_t s = 0; s < shards; ++s) {
      Host<T>& shard = logits[static_cast<std::size_t>(s)];
      backend.cross_entropy_gradient(targets, log_sum_exp, weight, s * width, valid(s), shard);
      for (std::int64_t i = 0; i < m * width; ++i) {
        const std::int64_t column = s * width + i % width;
        if (column < v) {
          gradient[i / width * v + column] = shard[i];
        } else {
          EXPECT_EQ(shard.at(i), 0.0) << "padding";
        }
      }
    }
    return gradient;
  }
};

struct Reference {
  std::vector<double> loss, gradient;
  template <class T, class S>
  Reference(const Host<T>& logits, const Host<std::int32_t>& targets, const Host<S>& weight) {
    const std::int64_t m = logits.shape()[0], v = logits.shape()[1];
    for (std::int64_t r = 0; r < m; ++r) {
      double sum = 0;
      for (std::int64_t c = 0; c < v; ++c) sum += std::exp(logits.at(r * v + c));
      const auto target = static_cast<std::int64_t>(targets.at(r));
      loss.push_back(std::log(sum) - logits.at(r * v + target));
      for (std::int64_t c = 0; c < v; ++c)
        gradient.push_back((std::exp(logits.at(r * v + c)) / sum - (c == target ? 1 : 0)) * weight.at(r));
    }
  }
};

template <class T>
class CrossEntropy : public ::testing::Test {};
using Types = ::testing::Types<float, bf16, double>;
TYPED_TEST_SUITE(CrossEntropy, Types);

TYPED_TEST(CrossEntropy, AgreesWithReferenceOnAnyShards) {
  using T = TypeParam;
  const auto backend = make_tested_backend();
  const std::int64_t m = 4, v = 101;
  const auto whole = Host<T>::random({m, v}, 1, 4.0);
  auto weight = Host<Sum<T>>::random({m}, 2);
  auto targets = integers({m}, {0, 100, 55, 34});
  const Reference expected(whole, targets, weight);
  for (const std::int64_t shards : {1, 2, 3, 51, 60}) {  // 60 shards of two columns: the last ones hold padding only
    Sharded<T> sharded(whole, shards);
    sharded.forward(*backend, targets, weight);
    expect_close(sharded.loss, expected.loss, std::is_same_v<T, double> ? 1e-12 : 1e-5, "loss");
    const Host<T> gradient = sharded.backward(*backend, targets, weight);
    expect_close(gradient, expected.gradient, tolerance_of<T>(), "dlogits");
  }
}

TEST(CrossEntropyGradient, EqualsFiniteDifferences) {
  const auto backend = make_tested_backend();
  auto whole = Host<double>::random({3, 20}, 1, 3.0);
  auto weight = Host<double>::random({3}, 2);
  auto targets = integers({3}, {0, 19, 7});
  for (const std::int64_t shards : {1, 3}) {  // 3 shards of 7 columns, one of padding
    const auto loss = [&] { return Sharded<double>(whole, shards).forward(*backend, targets, weight); };
    Sharded<double> sharded(whole, shards);
    sharded.forward(*backend, targets, weight);
    expect_gradient(whole, sharded.backward(*backend, targets, weight), loss, "dlogits");
  }
}

TEST(CrossEntropy, LargeLogitsStayFinite) {
  const auto backend = make_tested_backend();
  Host<float> logits({1, 3}), weight({1});
  logits.values() = {1000.0f, 999.0f, -1000.0f};
  weight[0] = 1.0f;
  auto targets = integers({1}, {1});
  Sharded<float> sharded(logits, 1);
  EXPECT_NEAR(sharded.forward(*backend, targets, weight), 1.0 + std::log1p(std::exp(-1.0)), 1e-4);
}

TEST(CrossEntropy, BitsDoNotDependOnThreads) {
  const std::int64_t m = 40, v = 517;
  const auto whole = Host<bf16>::random({m, v}, 1, 4.0);
  auto weight = Host<float>::random({m}, 2);
  Host<std::int32_t> targets({m});
  for (std::int64_t r = 0; r < m; ++r) targets[r] = static_cast<std::int32_t>(r * 13);
  std::vector<Host<bf16>> gradients;
  std::vector<Host<float>> losses;
  on_one_and_two_threads([&](int) {
    const auto backend = make_tested_backend();
    Sharded<bf16> sharded(whole, 2);
    sharded.forward(*backend, targets, weight);
    losses.push_back(sharded.loss);
    gradients.push_back(sharded.backward(*backend, targets, weight));
  });
  EXPECT_TRUE(losses[0].same_bits(losses[1]));
  EXPECT_TRUE(gradients[0].same_bits(gradients[1]));
}

}  // namespace
}  // namespace coxswain::testing
