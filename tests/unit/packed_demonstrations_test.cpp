// Packing by hand-worked cases, and what holds for every epoch: nothing cut, lost or twice.
#include "data/packed_demonstrations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "memory_archive.h"

namespace coxswain {
namespace {

using testing::Each;
using testing::ElementsAre;

// Tokens first, first + 1, ...; the last `learned` of them are a response.
Demonstration counting(std::int32_t first, int tokens, int learned) {
  Demonstration demonstration;
  demonstration.tokens.resize(static_cast<std::size_t>(tokens));
  std::iota(demonstration.tokens.begin(), demonstration.tokens.end(), first);
  demonstration.is_response.assign(static_cast<std::size_t>(tokens - learned), 0);
  demonstration.is_response.resize(static_cast<std::size_t>(tokens), 1);
  return demonstration;
}

MicroBatch batch_of(PackedDemonstrations& packed, std::int64_t first, int count) {
  MicroBatch batch = blank_documents(count, packed.length());
  for (int row = 0; row < count; ++row) packed.write(first + row, batch, row);
  return batch;
}

TEST(PackedDemonstrations, ByHand) {
  // Two turns are learned in the second: 20 21 [22 23] 24 [25 26].
  Demonstration two_turns = counting(20, 7, 2);
  two_turns.is_response[2] = two_turns.is_response[3] = 1;
  PackedDemonstrations packed({counting(10, 5, 3), two_turns, counting(30, 3, 2), counting(40, 9, 1)},
                              {.length = 8, .packing = true, .shuffle = false, .seed = 1});
  ASSERT_EQ(packed.sequences(1), 3);  // 4 + 2 rows, 6 rows, 8 rows
  const MicroBatch batch = batch_of(packed, 0, 3);
  EXPECT_THAT(batch.tokens, ElementsAre(10, 11, 12, 13, 30, 31, 0, 0,  //
                                        20, 21, 22, 23, 24, 25, 0, 0,  //
                                        40, 41, 42, 43, 44, 45, 46, 47));
  EXPECT_THAT(batch.targets, ElementsAre(11, 12, 13, 14, 31, 32, 0, 0,  //
                                         21, 22, 23, 24, 25, 26, 0, 0,  //
                                         41, 42, 43, 44, 45, 46, 47, 48));
  EXPECT_THAT(batch.weights, ElementsAre(0, 1, 1, 1, 1, 1, 0, 0,  //
                                         0, 1, 1, 0, 1, 1, 0, 0,  //
                                         0, 0, 0, 0, 0, 0, 0, 1));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 0, 1, 0, 1,  //
                                           0, 1, 2, 3, 4, 5, 0, 1,  //
                                           0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_THAT(batch.document_start, ElementsAre(0, 0, 0, 0, 4, 4, 6, 6,  //
                                                0, 0, 0, 0, 0, 0, 6, 6,  //
                                                0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_EQ(packed.learned_tokens(0), 5);
  EXPECT_EQ(packed.learned_tokens(1), 4);
  EXPECT_EQ(packed.learned_tokens(2), 1);
}

TEST(PackedDemonstrations, OneASequence) {
  PackedDemonstrations packed({counting(10, 3, 1), counting(20, 3, 1)},
                              {.length = 4, .packing = false, .shuffle = false, .seed = 1});
  EXPECT_EQ(packed.sequences(1), 2);
  EXPECT_EQ(packed.sequences(3), 6);
  EXPECT_THAT(batch_of(packed, 1, 1).tokens, ElementsAre(20, 21, 0, 0));
  EXPECT_THAT(batch_of(packed, 4, 1).tokens, ElementsAre(10, 11, 0, 0));
}

// Demonstration i has the tokens 1000 i + 0, 1, 2 ...
std::vector<Demonstration> many(int count) {
  std::vector<Demonstration> all;
  for (int i = 0; i < count; ++i) {
    const int tokens = 3 + static_cast<int>(uniform_integer({7, 1}, static_cast<std::uint64_t>(i), 30));
    all.push_back(counting(1000 * i, tokens, 2));
  }
  return all;
}

TEST(PackedDemonstrations, EveryEpochHasEachOnceWholeInAnOrderOfItsOwn) {
  constexpr int kCount = 211, kLength = 40;
  const std::vector<Demonstration> all = many(kCount);
  PackedDemonstrations packed(all, {.length = kLength, .packing = true, .shuffle = true, .seed = 3});
  std::set<std::vector<std::int32_t>> orders;
  for (int epoch = 0; epoch < 4; ++epoch) {
    const std::int64_t first = packed.sequences(epoch), end = packed.sequences(epoch + 1);
    std::int64_t rows = 0;
    for (const Demonstration& demonstration : all) rows += static_cast<std::int64_t>(demonstration.tokens.size()) - 1;
    EXPECT_LT(static_cast<double>((end - first) * kLength), 1.07 * static_cast<double>(rows)) << "nearly full";
    std::map<std::int32_t, std::vector<std::int32_t>> targets;  // by demonstration
    std::vector<std::int32_t> order;
    for (std::int64_t sequence = first; sequence < end; ++sequence) {
      const MicroBatch batch = batch_of(packed, sequence, 1);
      std::int64_t learned = 0;
      for (std::size_t i = 0; i < kLength; ++i) {
        learned += batch.weights[i] == 1.0f;
        if (batch.tokens[i] == 0 && batch.targets[i] == 0) continue;  // filled up
        const std::int32_t own = batch.targets[i] / 1000;
        if (targets[own].empty()) order.push_back(own);
        EXPECT_EQ(batch.tokens[i], batch.targets[i] - 1);
        EXPECT_EQ(batch.positions[i], batch.tokens[i] % 1000);
        EXPECT_EQ(batch.document_start[i], static_cast<std::int32_t>(i) - batch.positions[i]);
        targets[own].push_back(batch.targets[i]);
      }
      EXPECT_EQ(learned, packed.learned_tokens(sequence));
    }
    ASSERT_EQ(targets.size(), static_cast<std::size_t>(kCount));
    for (int i = 0; i < kCount; ++i) {
      const std::vector<std::int32_t>& tokens = all[static_cast<std::size_t>(i)].tokens;
      EXPECT_EQ(targets[i], std::vector<std::int32_t>(tokens.begin() + 1, tokens.end()));
    }
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), 4u);
}

TEST(PackedDemonstrations, ASequenceIsTheSameWhoeverAsks) {
  const auto fresh = [](std::uint64_t seed = 3) {
    return PackedDemonstrations(many(50), {.length = 40, .packing = true, .shuffle = true, .seed = seed});
  };
  PackedDemonstrations whole = fresh();
  const MicroBatch expected = batch_of(whole, 0, 60);
  for (const std::int64_t sequence : {59, 3, 40, 0, 41, 20}) {
    PackedDemonstrations other = fresh();  // as after a restart
    const MicroBatch batch = batch_of(other, sequence, 1);
    EXPECT_TRUE(std::equal(batch.tokens.begin(), batch.tokens.end(), expected.tokens.begin() + sequence * 40));
    EXPECT_TRUE(std::equal(batch.weights.begin(), batch.weights.end(), expected.weights.begin() + sequence * 40));
    EXPECT_EQ(batch_of(whole, sequence, 1).tokens, batch.tokens) << "back and forth";
  }
  PackedDemonstrations other_seed = fresh(4);
  EXPECT_NE(batch_of(other_seed, 0, 60).tokens, expected.tokens);
}

TEST(PackedDemonstrations, RefusesToGoOnWithOtherData) {
  const PackedDemonstrations::Options options{.length = 40, .packing = true, .shuffle = true, .seed = 1};
  MemoryArchive written;
  PackedDemonstrations(many(5), options).visit(written, "sft/demonstrations", "[sft] demonstrations");
  const auto code = [&](std::vector<Demonstration> demonstrations) {
    MemoryArchive archive = MemoryArchive::reader(written);
    try {
      PackedDemonstrations(std::move(demonstrations), options)
          .visit(archive, "sft/demonstrations", "[sft] demonstrations");
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::HasSubstr("[sft] demonstrations of contents"));
      return error.code();
    }
    return ExitCode::finished;
  };
  EXPECT_EQ(code(many(5)), ExitCode::finished);
  EXPECT_EQ(code(many(6)), ExitCode::data);
  std::vector<Demonstration> other = many(5);
  other[3].is_response[0] = 1;
  EXPECT_EQ(code(other), ExitCode::data);
}

}  // namespace
}  // namespace coxswain
