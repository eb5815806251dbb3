// Signals raised in this process: fetched, counted, never handled. The wall clock's arithmetic.
#include "phases/stop_signal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "phases/wall_clock.h"

namespace coxswain {
namespace {

TEST(StopSignal, NotesTheFirstAndCountsAll) {
  StopSignal signals;
  EXPECT_EQ(signals.pending(), 0);
  raise(SIGUSR1);
  EXPECT_EQ(signals.pending(), SIGUSR1);
  for (const int signal : {SIGTERM, SIGINT, SIGUSR2}) raise(signal);
  EXPECT_EQ(signals.pending(), SIGUSR1);
  EXPECT_EQ(signals.count(), 4);
  EXPECT_EQ(StopSignal::name(SIGUSR1), "SIGUSR1");
}

TEST(StopSignal, FetchesWhatCameBeforeAndForgetsItAtTheEnd) {
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  StopSignal::hold();
  raise(SIGTERM);
  EXPECT_EQ(StopSignal().pending(), SIGTERM);
  EXPECT_EQ(StopSignal().pending(), 0);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

// A handler's frame inside oneDNN's products corrupts memory: there must be none, in threads made later too.
TEST(StopSignal, NoThreadEverRunsAHandler) {
  static std::atomic<int> calls{0};
  std::signal(SIGUSR2, [](int) { ++calls; });
  {
    StopSignal signals;
    std::thread([] { raise(SIGUSR2); }).join();
    kill(getpid(), SIGUSR2);
    EXPECT_EQ(signals.pending(), SIGUSR2);
  }
  EXPECT_EQ(calls, 0);
  std::signal(SIGUSR2, SIG_DFL);
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
