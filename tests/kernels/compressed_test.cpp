// Weights that are held are read in fewer bits: products have the bits that they have without, whatever the numbers.
#include <limits>

#include "kernels/compressed.h"
#include "kernels/held_weights.h"
#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

// Of a size that is compressed; 700 and 1030 rows end within a strip of sixteen.
template <class T>
Host<T> some_weights(std::int64_t n, std::int64_t k, unsigned seed = 2) {
  return Host<T>::random({n, k}, seed, 0.1);
}

std::size_t kept(const Backend& backend) {
  return backend.memory().taken_by_kind[static_cast<std::size_t>(MemoryKind::compressed)];
}

template <class T>
class Compressed : public ::testing::Test {
 protected:
  // y of x and w, without holding the weights.
  Host<T> plain(TensorView x, TensorView w, TensorView bias = {}, Activation activation = Activation::none) {
    Host<T> y({x.shape[0], w.shape[0]});
    make_cpu_backend()->linear_rows(x, w, bias, activation, y);
    return y;
  }
  // The same while they are held, after what is kept of them has become the only thing that can be read: w is nothing
  // but not-a-numbers meanwhile.
  Host<T> held(TensorView x, Host<T>& w, TensorView seen, TensorView bias = {},
               Activation activation = Activation::none) {
    const HeldWeights weights(*backend_, {seen});
    const Host<T> before = w;
    std::fill(w.values().begin(), w.values().end(), static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
    Host<T> y({x.shape[0], seen.shape[0]});
    backend_->linear_rows(x, seen, bias, activation, y);
    w = before;
    return y;
  }
  void expect_same(Host<T>& w, TensorView seen, const std::string& what) {
    for (std::int64_t rows = 1; rows <= compressed_rows(); ++rows) {
      Host<T> x = Host<T>::random({rows, seen.shape[1]}, 1), bias = Host<T>::random({seen.shape[0]}, 3);
      on_one_and_two_threads([&](int threads) {
        for (const Activation activation : {Activation::none, Activation::gelu})
          ASSERT_TRUE(held(x, w, seen, bias, activation).same_bits(plain(x, seen, bias, activation)))
              << what << ", " << rows << " rows, " << threads << " threads";
      });
    }
  }
  std::unique_ptr<Backend> backend_ = make_cpu_backend();
};
using Types = ::testing::Types<float, bf16>;
TYPED_TEST_SUITE(Compressed, Types);

TYPED_TEST(Compressed, ProductsHaveTheirBits) {
  using T = TypeParam;
  for (const auto& [n, k] : {std::pair(700, 784), std::pair(1040, 528), std::pair(40, 16384)}) {
    Host<T> w = some_weights<T>(n, k);
    this->expect_same(w, w, std::to_string(n) + " x " + std::to_string(k));
  }
}

// w is a part of longer rows, as a tensor shard's may be.
TYPED_TEST(Compressed, RowsMayLieApart) {
  using T = TypeParam;
  Host<T> wide = some_weights<T>(700, 900);
  this->expect_same(wide, wide.view().slice(1, 48, 784), "a part of rows");
  Host<T> w = some_weights<T>(700, 784), x = Host<T>::random({compressed_rows(), 1000}, 1);
  for (std::int64_t rows = 1; rows <= compressed_rows(); ++rows) {
    const TensorView part = x.view().slice(0, 0, rows).slice(1, 7, 784);
    ASSERT_TRUE(this->held(part, w, w).same_bits(this->plain(part, w)));
  }
}

// Numbers without a code: beyond both ends of the sixteen binades, zeros of both signs, and what is no number.
TYPED_TEST(Compressed, ExceptionsAreKeptWhereverTheyAre) {
  using T = TypeParam;
  const std::vector<float> odd = {0.0f, -0.0f, 1e-38f, -1e-30f, 3e20f, 1e-42f, std::numeric_limits<float>::max()};
  Host<T> w = some_weights<T>(700, 784);
  std::size_t next = 0;
  for (std::int64_t i = 0; i < w.size(); i += 1009) w[i] = static_cast<T>(odd[next++ % odd.size()]);
  for (const std::int64_t row : {0, 15, 16, 699})  // several in a group, a strip's first and last ones
    for (const std::int64_t column : {0, 1, 7, 8, 15, 767, 775, 783}) w[row * 784 + column] = T();
  // Just above all others, and none of those that the choice of binades looks at.
  w[6 * 784 + 3] = static_cast<T>(0.15f), w[6 * 784 + 6] = static_cast<T>(0.3f);
  this->expect_same(w, w, "with exceptions");
  w[5 * 784 + 3] = static_cast<T>(std::numeric_limits<float>::infinity());
  Host<T> x = Host<T>::random({2, 784}, 1);
  ASSERT_TRUE(this->held(x, w, w).same_bits(this->plain(x, w))) << "with an infinity";
}

TYPED_TEST(Compressed, WhatIsNoNumberStaysSo) {
  using T = TypeParam;
  Host<T> w = some_weights<T>(700, 784), x = Host<T>::random({2, 784}, 1);
  w[20 * 784 + 5] = static_cast<T>(std::numeric_limits<float>::quiet_NaN());
  const Host<T> y = this->held(x, w, w);
  EXPECT_TRUE(std::isnan(y.at(20)));
  EXPECT_TRUE(y.same_bits(this->plain(x, w)));
}

// As a vocabulary's padding is, and as layers of several sizes in one matrix are: a strip has binades of its own.
TYPED_TEST(Compressed, StripsMayBeZeroOrOfOtherSizes) {
  using T = TypeParam;
  Host<T> w = some_weights<T>(700, 784), x = Host<T>::random({2, 784}, 1);
  for (std::int64_t i = 0; i < w.size(); ++i)
    w[i] = static_cast<T>(i < 607 * 784 ? std::ldexp(static_cast<float>(w.at(i)), static_cast<int>(i / (16 * 784)))
                                        : 0.0f);
  const Host<T> expected = this->plain(x, w);
  const HeldWeights held(*this->backend_, {w});
  Host<T> y({2, 700});
  this->backend_->linear_rows(x, w, {}, Activation::none, y);
  EXPECT_TRUE(y.same_bits(expected));
  EXPECT_LT(this->backend_->costs().at("linear_rows").bytes, w.view().bytes());
}

// The ends of the exponents: nothing but zeros, the least numbers, the greatest.
TYPED_TEST(Compressed, NumbersMayAllBeTinyOrHuge) {
  using T = TypeParam;
  for (const float size : {0.0f, 1e-41f, 1e-37f, 3e38f}) {
    Host<T> w = some_weights<T>(700, 784), x = Host<T>::random({2, 784}, 1, 1e-3);
    for (std::int64_t i = 0; i < w.size(); ++i) w[i] = static_cast<T>(static_cast<float>(w.at(i)) * size);
    ASSERT_TRUE(this->held(x, w, w).same_bits(this->plain(x, w))) << size;
  }
}

// Read as it is, where exceptions would take more than is saved.
TYPED_TEST(Compressed, WeightsOfAllSizesAreLeft) {
  using T = TypeParam;
  Host<T> w = some_weights<T>(700, 784), x = Host<T>::random({2, 784}, 1);
  for (std::int64_t i = 0; i < w.size(); ++i)
    w[i] = static_cast<T>(std::ldexp(static_cast<float>(w.at(i)), static_cast<int>(i % 60) - 30));
  const HeldWeights held(*this->backend_, {w});
  EXPECT_EQ(this->backend_->memory().in_use, 0u);
  Host<T> y({2, 700});
  this->backend_->linear_rows(x, w, {}, Activation::none, y);
  ASSERT_TRUE(y.same_bits(this->plain(x, w)));
  EXPECT_GE(this->backend_->costs().at("linear_rows").bytes, w.view().bytes());
}

// More rows, other weights and other views of the same ones are read as they are.
TYPED_TEST(Compressed, OnlyFewRowsOfWhatIsHeldReadIt) {
  using T = TypeParam;
  const std::int64_t most = compressed_rows();
  Host<T> w = some_weights<T>(700, 784), x = Host<T>::random({most + 1, 784}, 1);
  const HeldWeights held(*this->backend_, {w});
  const Host<T> before = w;
  Host<T> other = some_weights<T>(700, 784, 7);
  std::fill(w.values().begin(), w.values().end(), T());
  const auto product = [&](std::int64_t rows, TensorView weights) {
    Host<T> y({rows, weights.shape[0]});
    this->backend_->linear_rows(x.view().slice(0, 0, rows), weights, {}, Activation::none, y);
    return y;
  };
  const TensorView few = x.view().slice(0, 0, most);
  const auto read = [&](std::int64_t rows) {  // in bytes, beside x and y
    this->backend_->reset_costs();
    product(rows, w);
    return this->backend_->costs().at("linear_rows").bytes - static_cast<double>(rows * (784 + 700) * sizeof(T));
  };
  EXPECT_EQ(read(most), compressed_bytes(w));
  EXPECT_EQ(read(most + 1), w.view().bytes());
  EXPECT_TRUE(product(most, w).same_bits(this->plain(few, Host<T>(before))));
  EXPECT_TRUE(product(most + 1, w).same_bits(this->plain(x, w)));
  EXPECT_TRUE(product(most, w.view().slice(0, 0, 690)).same_bits(this->plain(few, w.view().slice(0, 0, 690))));
  EXPECT_TRUE(product(most, other).same_bits(this->plain(few, other)));
}

TYPED_TEST(Compressed, WhatIsKeptGoesWithTheLastHolder) {
  using T = TypeParam;
  Host<T> w = some_weights<T>(700, 784), x = Host<T>::random({2, 784}, 1);
  const Host<T> first = this->plain(x, w);
  Host<T> y({2, 700});
  const std::size_t before = this->backend_->memory().reserved;
  {
    const auto one = std::make_unique<HeldWeights>(*this->backend_, std::vector<TensorView>{w});
    auto other = std::make_unique<HeldWeights>(*this->backend_, std::vector<TensorView>{w});
    EXPECT_EQ(kept(*this->backend_), compressed_bytes(w));
    EXPECT_EQ(this->backend_->memory().in_use, compressed_bytes(w));
    std::fill(w.values().begin(), w.values().end(), T());
    other.reset();
    this->backend_->linear_rows(x, w, {}, Activation::none, y);
    EXPECT_TRUE(y.same_bits(first));
  }
  this->backend_->linear_rows(x, w, {}, Activation::none, y);
  EXPECT_TRUE(y.same_bits(this->plain(x, w)));
  EXPECT_EQ(this->backend_->memory().in_use, 0u);
  EXPECT_LT(this->backend_->memory().reserved, before + compressed_bytes(w) / 4);  // given back to the system
}

TEST(CompressedSizes, AreThoseOfThePlan) {
  const auto cpu = make_cpu_backend(), counting = make_counting_backend();
  Host<float> large = some_weights<float>(700, 784), small({100, 100}), odd({700, 790});
  Host<bf16> narrow = some_weights<bf16>(700, 784);
  Host<double> wide({700, 784});
  const std::vector<TensorView> weights = {large, small, odd, narrow, wide, large};
  auto held = std::make_unique<HeldWeights>(*cpu, weights), counted = std::make_unique<HeldWeights>(*counting, weights);
  EXPECT_EQ(kept(*cpu), kept(*counting));
  EXPECT_EQ(kept(*cpu), compressed_bytes(large) + compressed_bytes(narrow));
  auto once_more = std::make_unique<HeldWeights>(*counting, std::vector<TensorView>{large});
  counted.reset();
  EXPECT_EQ(counting->memory().in_use, compressed_bytes(large));
  once_more.reset();
  EXPECT_EQ(counting->memory().in_use, 0u);
  EXPECT_EQ(compressed_bytes(large), 704u * 784u * 7 / 2);
  EXPECT_EQ(compressed_bytes(narrow), 704u * 784u * 3 / 2);
}

}  // namespace
}  // namespace coxswain::testing
