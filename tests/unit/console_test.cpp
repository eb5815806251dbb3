// What a line a step says of the time that is left.
#include "phases/console.h"

#include <gtest/gtest.h>

#include <functional>
#include <sstream>
#include <string>

#include "base/text.h"

namespace coxswain {
namespace {

// The last column of the last row, after `steps` of `total`; took(step): seconds of the step alone.
std::string left_after(int steps, int total, double between, const std::function<double(int)>& took) {
  std::ostringstream said;
  Log log{{.speaks = true, .speaker = "", .out = &said, .error = &said}};
  Console console(log, total, 1);
  double elapsed = 0;
  for (int step = 1; step <= steps; ++step) {
    StepReport report;
    report.metrics = {{"loss", 1.0}};
    StepTiming timing;
    timing.step = step;
    timing.seconds = took(step);
    elapsed += took(step) + between;
    console.step(report, timing, elapsed);
  }
  const std::string text = said.str(), row = text.substr(0, text.find_last_not_of('\n') + 1);
  return trim(row.substr(row.size() - 14));
}

TEST(Console, TheTimeLeftCountsWhatLiesBetweenSteps) {
  EXPECT_EQ(left_after(200, 300, 0, [](int) { return 1; }), "1 min 40 s");
  EXPECT_EQ(left_after(200, 300, 2, [](int) { return 1; }), "5 min 00 s");
}

TEST(Console, ASlowFirstStepIsOneOfThem) {
  // The mean of ten steps, of which the first took 11 s: 2 s; those that count a bit less than the latest: less.
  const std::string left = left_after(10, 110, 0, [](int step) { return step == 1 ? 11 : 1; });
  EXPECT_TRUE(left == "3 min 04 s" || left.starts_with("3 min 0") || left.starts_with("2 min 5")) << left;
}

TEST(Console, RolloutsCountTheirShare) {
  // Nine seconds, then seven steps of one second: 2 s a step.
  const auto took = [](int step) { return step % 8 == 1 ? 9.0 : 1.0; };
  for (const int step : {96, 97, 100}) {
    const std::string left = left_after(step, step + 900, 0, took);  // 30 min
    EXPECT_TRUE(left.starts_with("2") || left.starts_with("30 ") || left.starts_with("31 ") ||
                left.starts_with("32 ") || left.starts_with("33 "))
        << step << ": " << left;
  }
}

}  // namespace
}  // namespace coxswain
