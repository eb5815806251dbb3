#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"

namespace coxswain {
namespace {

TEST(Log, SpeakerPrintsAndQuietRanksOnlyWarn) {
  std::ostringstream out, error;
  Log speaks({.speaks = true, .speaker = "", .out = &out, .error = &error});
  speaks.info("step {}", 3);
  speaks.detail("unseen");
  speaks.warning("slow");
  EXPECT_EQ(out.str(), "step 3\n");
  EXPECT_EQ(error.str(), "warning: slow\n");

  std::ostringstream quiet_out, quiet_error;
  Log quiet({.speaks = false, .speaker = "data 1 of 2", .out = &quiet_out, .error = &quiet_error});
  quiet.info("unseen");
  quiet.error("broken");
  quiet.progress("bar");
  EXPECT_EQ(quiet_out.str(), "");
  EXPECT_EQ(quiet_error.str(), "[data 1 of 2] error: broken\n");
}

TEST(Log, AppendsToItsFileFromManyThreads) {
  const std::string path = testing::TempDir() + "coxswain_log_" + std::to_string(getpid()) + ".txt";
  std::remove(path.c_str());
  std::ostringstream out, error;
  {
    Log log({.speaks = true, .speaker = "", .out = &out, .error = &error});
    log.open(path);
    log.detail("first");
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&log, t] {
        for (int i = 0; i < 50; ++i) log.info("thread {} line {}", t, i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  Log again({.speaks = true, .speaker = "", .out = &out, .error = &error});
  again.open(path);
  again.info("last");
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 202u);
  EXPECT_THAT(lines.front(), testing::MatchesRegex("....-..-.. ..:..:.. first"));
  EXPECT_THAT(lines.back(), testing::EndsWith(" last"));
  for (std::size_t i = 1; i + 1 < lines.size(); ++i) {
    EXPECT_THAT(lines[i], testing::MatchesRegex("....-..-.. ..:..:.. thread . line [0-9]+"));
  }
  std::remove(path.c_str());
}

TEST(Log, AFileThatCannotBeOpenedIsAnInputOutputError) {
  Log log;
  try {
    log.open("/nowhere/log.txt");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::input_output);
    EXPECT_THAT(error.what(), testing::HasSubstr("/nowhere/log.txt"));
  }
}

}  // namespace
}  // namespace coxswain
