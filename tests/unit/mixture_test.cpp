// The mixture's rule: exact shares, no chance, and a cursor that goes on where it stopped.
#include "data/mixture.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/error.h"
#include "memory_archive.h"

namespace coxswain {
namespace {

std::vector<int> sources_of(Mixture& mixture, std::int64_t first, std::int64_t count) {
  std::vector<int> sources;
  for (std::int64_t i = first; i < first + count; ++i) sources.push_back(mixture.at(i).source);
  return sources;
}

TEST(Mixture, TakesTheSourceThatLagsMost) {
  // Credits after each draw with shares 1/2, 1/4, 1/4, by hand; equal credits go to the first.
  Mixture mixture({2, 1, 1});
  EXPECT_EQ(sources_of(mixture, 0, 8), (std::vector<int>{0, 1, 2, 0, 0, 1, 2, 0}));
  Mixture alone({7.0});
  EXPECT_EQ(sources_of(alone, 0, 3), (std::vector<int>{0, 0, 0}));
}

TEST(Mixture, DrawsEachSourceInItsOrderAndByItsShare) {
  const std::vector<double> weights = {60, 22, 8, 8, 3};  // GPT-3's table; the printed sum is 101
  Mixture mixture(weights);
  std::vector<std::int64_t> drawn(weights.size(), 0);
  for (std::int64_t i = 0; i < 20200; ++i) {
    const Mixture::Draw draw = mixture.at(i);
    const auto s = static_cast<std::size_t>(draw.source);
    ASSERT_EQ(draw.index, drawn[s]++);
    for (std::size_t k = 0; k < weights.size(); ++k) {
      ASSERT_LE(std::abs(static_cast<double>(drawn[k]) - weights[k] / 101 * static_cast<double>(i + 1)), 2.0);
    }
  }
  EXPECT_EQ(drawn, (std::vector<std::int64_t>{12000, 4400, 1600, 1600, 600}));
}

TEST(Mixture, GoesOnFromItsCursor) {
  const std::vector<double> weights = {0.5, 0.3, 0.2};
  Mixture whole(weights);
  Mixture part(weights);
  const std::vector<int> expected = sources_of(whole, 0, 500);
  std::int64_t done = 0;
  for (const std::int64_t batch : {1, 7, 100, 0, 33}) {
    EXPECT_EQ(part.at(done + 3).source, expected[static_cast<std::size_t>(done) + 3]);  // looks ahead, changes nothing
    part.advance(batch);
    done += batch;
  }
  MemoryArchive written;
  part.visit(written, "data");
  MemoryArchive archive = MemoryArchive::reader(written);
  Mixture resumed(weights);
  resumed.at(20);
  resumed.visit(archive, "data");
  EXPECT_EQ(resumed.consumed(), done);
  for (int s = 0; s < 3; ++s) EXPECT_EQ(resumed.drawn(s), part.drawn(s));
  const std::vector<int> rest = sources_of(resumed, done, 500 - done);
  EXPECT_TRUE(std::equal(rest.begin(), rest.end(), expected.begin() + done));
  EXPECT_EQ(resumed.at(400).index, whole.at(400).index);
  EXPECT_THROW(resumed.at(done - 1), Error);
}

TEST(Mixture, WeightsMustBePositive) {
  EXPECT_THROW(Mixture({1.0, 0.0}), Error);
  EXPECT_THROW(Mixture({1.0, -2.0}), Error);
  EXPECT_THROW(Mixture({1.0, std::nan("")}), Error);
}

}  // namespace
}  // namespace coxswain
