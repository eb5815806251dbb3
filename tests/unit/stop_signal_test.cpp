// Signals raised in this process: noted once, counted, and the former handlers come back. The wall clock's arithmetic.
#include "phases/stop_signal.h"

#include <gtest/gtest.h>

#include "phases/wall_clock.h"

namespace coxswain {
namespace {

TEST(StopSignal, NotesTheFirstAndCountsAll) {
  const StopSignal signals;
  EXPECT_EQ(signals.pending(), 0);
  for (const int signal : {SIGUSR1, SIGTERM, SIGINT, SIGUSR2}) raise(signal);
  EXPECT_EQ(signals.pending(), SIGUSR1);
  EXPECT_EQ(signals.count(), 4);
  EXPECT_EQ(StopSignal::name(SIGUSR1), "SIGUSR1");
}

int former_calls = 0;

TEST(StopSignal, GivesFormerHandlersBackAndForgets) {
  std::signal(SIGUSR1, [](int) { ++former_calls; });
  {
    const StopSignal signals;
    raise(SIGUSR1);
    EXPECT_EQ(signals.pending(), SIGUSR1);
  }
  EXPECT_EQ(former_calls, 0);
  raise(SIGUSR1);
  EXPECT_EQ(former_calls, 1);
  EXPECT_EQ(StopSignal().pending(), 0);
  std::signal(SIGUSR1, SIG_DFL);
}

TEST(WallClock, KeepsTimeForAStepAndASave) {
  double now = 0;
  WallClock clock(10, [&] { return now; });  // 600 s
  clock.step_took(20);
  clock.save_took(100);
  EXPECT_DOUBLE_EQ(clock.reserve_seconds(), 1.5 * 120 + 1);
  now = 418;
  EXPECT_FALSE(clock.must_stop());
  now = 420;
  EXPECT_TRUE(clock.must_stop());
}

TEST(WallClock, RemembersASlowStepForAWhile) {
  WallClock clock(10, [] { return 0.0; });
  clock.save_took(0);
  clock.step_took(10);
  clock.step_took(1);
  EXPECT_GT(clock.reserve_seconds(), 1.5 * 9);
  for (int step = 0; step < 500; ++step) clock.step_took(1);
  EXPECT_LT(clock.reserve_seconds(), 1.5 * 1.1 + 1);
}

TEST(WallClock, WithoutALimitOrASaveSeen) {
  double now = 1e9;
  EXPECT_FALSE(WallClock(0, [&] { return now; }).must_stop());
  now = 0;
  EXPECT_FALSE(WallClock(0.1, [&] { return now; }).must_stop());  // 6 s: the first step is always tried
}

}  // namespace
}  // namespace coxswain
