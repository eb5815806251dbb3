// Lines of metrics.jsonl: their exact text, what a restart cuts away, and what a full disk does.
#include "io/metrics_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

TEST(MetricsLog, ShortestNumbersThatReadBack) {
  EXPECT_EQ(
      metrics_line(7, 3584, {{"loss", 5.25}, {"learning_rate", 6e-5}, {"third", 1.0 / 3}, {"one", 1}}),
      "{\"step\":7,\"tokens\":3584,\"loss\":5.25,\"learning_rate\":6e-05,\"third\":0.3333333333333333,\"one\":1}\n");
}

TEST(MetricsLog, AKeyStandsOnce) {
  EXPECT_EQ(metrics_line(1, 2, {{"tokens", 9}, {"bytes", 3}}), "{\"step\":1,\"tokens\":2,\"bytes\":3}\n");
}

TEST(MetricsLog, WhatIsNoNumberIsNull) {
  EXPECT_EQ(metrics_line(1, 2, {{"loss", std::nan("")}, {"norm", std::numeric_limits<double>::infinity()}}),
            "{\"step\":1,\"tokens\":2,\"loss\":null,\"norm\":null}\n");
}

TEST(MetricsLog, TimingLeavesOutWhatIsUnknown) {
  StepTiming timing{.step = 3, .seconds = 0.25, .tokens_per_second = 1024, .gemm_share = -1, .session = ""};
  EXPECT_EQ(timing_line(timing), "{\"step\":3,\"seconds\":0.25,\"tokens_per_second\":1024}\n");
  timing.gemm_share = 0.815;
  timing.session = "on \"a\"";
  EXPECT_EQ(
      timing_line(timing),
      "{\"step\":3,\"seconds\":0.25,\"tokens_per_second\":1024,\"gemm_share\":0.8150,\"session\":\"on \\\"a\\\"\"}\n");
}

class CutBack : public testing::Test {
 protected:
  void write(const std::string& text) { AppendFile(path_).append(text); }
  TemporaryFolder folder_;
  std::string path_ = folder_.file("metrics.jsonl");
};

TEST_F(CutBack, LaterStepsGo) {
  write("{\"step\":1,\"a\":1}\n{\"step\":2,\"a\":2}\n{\"step\":3,\"a\":3}\n");
  const auto cut = StepLog(path_).cut_back(2);
  EXPECT_EQ(cut.kept_lines, 2);
  EXPECT_EQ(cut.removed_lines, 1);
  EXPECT_EQ(cut.last_step, 2);
  EXPECT_FALSE(cut.damaged);
  EXPECT_EQ(read_text_file(path_), "{\"step\":1,\"a\":1}\n{\"step\":2,\"a\":2}\n");
}

TEST_F(CutBack, UnfinishedLineGoes) {
  write("{\"step\":1}\n{\"step\":2,\"lo");
  const auto cut = StepLog(path_).cut_back(9);
  EXPECT_TRUE(cut.damaged);
  EXPECT_EQ(cut.last_step, 1);
  EXPECT_EQ(read_text_file(path_), "{\"step\":1}\n");
}

TEST_F(CutBack, NothingAfterADamagedLineIsTrusted) {
  write("{\"step\":1}\nno line of ours\n{\"step\":3}\n");
  const auto cut = StepLog(path_).cut_back(9);
  EXPECT_TRUE(cut.damaged);
  EXPECT_EQ(read_text_file(path_), "{\"step\":1}\n");
}

TEST_F(CutBack, TheSameStepTwiceIsDamage) {
  write("{\"step\":1}\n{\"step\":2}\n{\"step\":2}\n");
  EXPECT_TRUE(StepLog(path_).cut_back(9).damaged);
  EXPECT_EQ(read_text_file(path_), "{\"step\":1}\n{\"step\":2}\n");
}

TEST_F(CutBack, AppendingGoesOnBehindTheCut) {
  write("{\"step\":1}\n{\"step\":2}\n");
  StepLog log(path_);
  log.cut_back(1);
  log.append("{\"step\":2,\"again\":1}\n");
  EXPECT_EQ(read_text_file(path_), "{\"step\":1}\n{\"step\":2,\"again\":1}\n");
}

TEST_F(CutBack, EmptyFile) {
  const auto cut = StepLog(path_).cut_back(0);
  EXPECT_EQ(cut.kept_lines + cut.removed_lines, 0);
  EXPECT_FALSE(cut.damaged);
}

TEST(MetricsLog, FullDiskNamesPathAndBytes) {
  try {
    StepLog("/dev/full").append("{\"step\":1}\n");
    FAIL() << "a full disk went unnoticed";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::input_output);
    EXPECT_THAT(error.what(), testing::HasSubstr("11 bytes"));
    EXPECT_THAT(error.what(), testing::HasSubstr("/dev/full"));
  }
}

}  // namespace
}  // namespace coxswain
