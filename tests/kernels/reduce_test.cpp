// Sums: exact where they can be, in one order at any number of threads.
#include "kernels/scratch.h"
#include "tests/kernels/reference.h"

namespace coxswain {
namespace {

using testing::Host;

TEST(Reduce, AddAlsoInPlace) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  Host<float> a = Host<float>::random({33, 1001}, 1), b = Host<float>::random({33, 1001}, 2), sum({33, 1001});
  backend->add(a, b, sum);
  for (std::int64_t i = 0; i < sum.size(); ++i) ASSERT_EQ(sum[i], a[i] + b[i]);
  backend->add(a, b, a);
  EXPECT_TRUE(a.same_bits(sum));
  Host<bf16> c({3}), d({3});
  c[1] = bf16(1.0f), d[1] = bf16(0.00390625f);  // a half step of bf16 at one: a tie, to even
  backend->add(c, d, c);
  EXPECT_EQ(static_cast<float>(c[1]), 1.0f);
}

TEST(Reduce, SumOfSquaresByBlock) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  const std::int64_t n = 70003;
  Host<float> x = Host<float>::random({n}, 1);
  for (const std::int64_t block : {std::int64_t{7}, std::int64_t{20000}, n, 2 * n}) {
    const std::int64_t blocks = (n + block - 1) / block;
    Host<double> first;
    testing::on_one_and_two_threads([&](int threads) {
      Host<double> sums({blocks});
      backend->sum_of_squares(x, block, sums);
      if (threads == 1) first = sums;
      EXPECT_TRUE(sums.same_bits(first));
      for (std::int64_t i = 0; i < blocks; i += std::max<std::int64_t>(1, blocks / 50)) {
        double expected = 0;
        for (std::int64_t j = i * block; j < std::min(n, (i + 1) * block); ++j) expected += x.at(j) * x.at(j);
        ASSERT_NEAR(sums[i], expected, 1e-12 * expected) << "block " << i << " of " << block;
      }
    });
  }
}

// Runs of any length, empty ones too, whose sums hang on their order.
TEST(Reduce, OrderedSumsAddOneAfterTheOther) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  Host<double> x({3000});
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = (i % 3 == 0 ? 1e16 : i % 3 == 1 ? -1e16 : 1.0) / (1.0 + i % 7);
  std::vector<std::int32_t> places, ends;
  std::vector<double> expected;
  for (const std::int32_t length : {1, 0, 255, 256, 257, 1000, 0, 31}) {
    expected.push_back(0);
    for (std::int32_t i = 0; i < length; ++i) {
      places.push_back((i * 577 + length) % 3000);
      expected.back() += x[places.back()];
    }
    ends.push_back(static_cast<std::int32_t>(places.size()));
  }
  Host<std::int32_t> all = testing::integers({std::ssize(places)}, places), of = testing::integers({8}, ends);
  Host<double> sums({8});
  backend->ordered_sums(x, all, of, sums);
  EXPECT_EQ(sums.values(), expected);
}

TEST(Reduce, WeightedSum) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  Host<float> x({5}), weight({5});
  for (std::int64_t i = 0; i < 5; ++i) x[i] = static_cast<float>(i + 1), weight[i] = i == 3 ? 0.0f : 0.5f;
  Host<double> out({1});
  backend->weighted_sum(x, weight, out);
  EXPECT_EQ(out[0], 0.5 * (1 + 2 + 3 + 5));
}

TEST(Reduce, BlendIsAnExponentialMovingAverage) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  Host<float> x({2}), average({2});
  x.values() = {1.0f, -2.0f}, average.values() = {3.0f, -2.0f};
  backend->blend(x, 0.25, average);  // 3 + (1 - 3) / 4; what is there already stays
  EXPECT_EQ(average[0], 2.5f);
  EXPECT_EQ(average[1], -2.0f);
  backend->blend(x, 0.25, average);  // 2.5 - 1.5 / 4
  EXPECT_EQ(average[0], 2.125f);
  backend->blend(x, 1.0, average);
  EXPECT_TRUE(average.same_bits(x));
}

TEST(Reduce, BlendAtAnyNumberOfThreadsAndPlaces) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  const std::int64_t n = 20003;
  Host<float> x = Host<float>::random({n}, 1), first;
  testing::on_one_and_two_threads([&](int threads) {
    Host<float> average = Host<float>::random({n}, 2), part = average;
    backend->blend(x, 0.008, average);
    if (threads == 1) first = average;
    EXPECT_TRUE(average.same_bits(first));
    for (std::int64_t i = 0; i < n; i += 1000) {  // one element alone, at another place in the vector
      backend->blend(x.view().slice(0, i, 1), 0.008, part.view().slice(0, i, 1));
      ASSERT_EQ(part[i], average[i]);
    }
  });
}

TEST(Reduce, BiasGradientAtAnyNumberOfThreads) {
  const std::unique_ptr<Backend> backend = testing::make_tested_backend();
  Host<bf16> dy = Host<bf16>::random({300, 517}, 1);
  Host<float> first;
  testing::on_one_and_two_threads([&](int threads) {
    Host<float> dbias({517});
    backend->bias_gradient(dy, dbias);
    if (threads == 1) first = dbias;
    EXPECT_TRUE(dbias.same_bits(first));
  });
}

// In memory of the device's own, which begins where sixteen bytes may be read at once, as a mirror's need not.
TEST(Reduce, SumsHaveATail) {
#ifdef COXSWAIN_TESTS_ON_CUDA
  const auto backend = make_cuda_backend(0);
#else
  const auto backend = make_cpu_backend();
#endif
  for (const std::int64_t count : {1, 1001, 1003}) {
    const Scratch<float> x(*backend, count);
    const Scratch<double> sum(*backend, 1);
    const TensorView view(x.data(), DType::f32, {count}), out(sum.data(), DType::f64, {1});
    backend->fill(view, 1.5);
    backend->weighted_sum(view, view, out);
    double result = 0;
    backend->download(out, &result);
    EXPECT_EQ(result, 2.25 * static_cast<double>(count));
  }
}

}  // namespace
}  // namespace coxswain
