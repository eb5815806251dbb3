// Items that threads share: each is given once, a thread's own share first, in runs that shorten.
#include "kernels/cpu/turns.h"

#include <gtest/gtest.h>

#include <thread>

namespace coxswain {
namespace {

TEST(Turns, OwnShareFirstInShorteningRunsThenWhatOthersLeft) {
  Turns turns(21, 2, 3);  // shares: 0 to 9, 10 to 20
  std::vector<std::pair<std::int64_t, std::int64_t>> runs;
  EXPECT_EQ(turns.take(0).first, 0);
  for (Turns::Run run = turns.take(1); run.count > 0; run = turns.take(1)) runs.emplace_back(run.first, run.count);
  const std::vector<std::pair<std::int64_t, std::int64_t>> expected = {
      {10, 2}, {12, 2}, {14, 1}, {15, 1}, {16, 1}, {17, 1}, {18, 1}, {19, 1}, {20, 1},  // its own
      {2, 2},  {4, 1},  {5, 1},  {6, 1},  {7, 1},  {8, 1},  {9, 1}};
  EXPECT_EQ(runs, expected);
  EXPECT_EQ(turns.take(0).count, 0);
}

TEST(Turns, RunsAreNoLongerThanAllowed) {
  Turns turns(1000, 1, 8);
  EXPECT_EQ(turns.take(0).count, 8);
}

TEST(Turns, MoreThreadsThanItemsAndNoItems) {
  Turns few(2, 5, 8), none(0, 3, 8);
  std::int64_t items = 0;
  for (Turns::Run run = few.take(4); run.count > 0; run = few.take(4)) items += run.count;
  EXPECT_EQ(items, 2);
  EXPECT_EQ(none.take(1).count, 0);
}

TEST(Turns, ThreadsAtOnceTakeEveryItemOnce) {
  constexpr int kItems = 100000, kThreads = 4;
  Turns turns(kItems, kThreads, 8);
  std::vector<std::atomic<int>> taken(kItems);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (Turns::Run run = turns.take(t); run.count > 0; run = turns.take(t))
        for (std::int64_t i = run.first; i < run.first + run.count; ++i) ++taken[i];
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::atomic<int>& times : taken) ASSERT_EQ(times, 1);
}

}  // namespace
}  // namespace coxswain
