// Embedding rows and their gradient, with part of the vocabulary held.
#include "tests/kernels/reference.h"

namespace coxswain::testing {
namespace {

TEST(Embedding, TakesTheRowsThatAreHeld) {
  const auto backend = make_tested_backend();
  auto table = Host<bf16>::random({4, 5}, 1);
  auto tokens = integers({5}, {2, 9, 3, 5, 0});
  Host<bf16> y({5, 5});
  Host<float> wide({5, 5});
  backend->embedding(tokens, table, 2, y);  // holds tokens 2 to 5
  backend->embedding(tokens, table, 2, wide);
  for (std::int64_t r = 0; r < 5; ++r)
    for (std::int64_t c = 0; c < 5; ++c) {
      const std::int64_t row = tokens[r] - 2;
      const double expected = row >= 0 && row < 4 ? table.at(row * 5 + c) : 0.0;
      EXPECT_EQ(y.at(r * 5 + c), expected);
      EXPECT_EQ(wide.at(r * 5 + c), expected);
    }
}

TEST(EmbeddingGradient, EqualsFiniteDifferences) {
  const auto backend = make_tested_backend();
  auto table = Host<double>::random({4, 3}, 1), dy = Host<double>::random({6, 3}, 2);
  auto tokens = integers({6}, {2, 9, 3, 2, 2, 5});
  Host<double> y({6, 3}), dtable({4, 3});
  backend->embedding_gradient(tokens, dy, 2, dtable);
  const auto loss = [&] {
    backend->embedding(tokens, table, 2, y);
    return weighted(y, dy);
  };
  expect_gradient(table, dtable, loss, "dtable");
  backend->embedding_gradient(tokens, dy, 2, dtable);  // accumulates
  EXPECT_NEAR(dtable[0], 2 * (dy[0] + dy[9] + dy[12]), 1e-12);
}

TEST(EmbeddingGradient, AddsInTheOrderOfTheRowsOnAnyThreads) {
  const std::int64_t m = 300, h = 150;
  auto dy = Host<bf16>::random({m, h}, 1);
  Host<std::int32_t> tokens({m});
  for (std::int64_t r = 0; r < m; ++r) tokens[r] = static_cast<std::int32_t>(r * r % 7);
  Host<float> expected({7, h});
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t c = 0; c < h; ++c) expected[tokens[r] * h + c] += static_cast<float>(dy[r * h + c]);
  on_one_and_two_threads([&](int threads) {
    const auto backend = make_tested_backend();
    Host<float> dtable({7, h});
    backend->embedding_gradient(tokens, dy, 0, dtable);
    EXPECT_TRUE(dtable.same_bits(expected)) << threads << " threads";
  });
}

}  // namespace
}  // namespace coxswain::testing
