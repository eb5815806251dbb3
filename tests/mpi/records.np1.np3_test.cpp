// Every rank reads the same records, although rank 0 alone opens the files, and every rank meets the same error.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "data/byte_tokenizer.h"
#include "data/preferences.h"
#include "mpi_test.h"

namespace coxswain {
namespace {

TEST(Records, AreTheSameOnEveryRank) {
  const std::string path = world().broadcast(
      (std::filesystem::temp_directory_path() / ("coxswain_records_" + std::to_string(getpid()) + ".jsonl")).string(),
      0, "path");
  if (world().rank() == 0) {
    std::ofstream(path) << R"({"prompt": "a", "chosen": "b", "rejected": "c"})"
                        << "\nbroken\n"
                        << R"({"prompt": "d", "responses": ["e", "f", "g"], "ranks": [2, 1, 2]})"
                        << "\n";
  }
  std::ostringstream said;
  Log log({.speaks = world().rank() == 0, .speaker = "", .out = &said, .error = &said});
  ByteTokenizer tokenizer;
  const ChatFormat chat({}, tokenizer);
  Reading reading{{path, "[reward] train", BadLine::skip}, chat, world(), log, 100};
  const Comparisons comparisons = read_comparisons(reading);
  ASSERT_EQ(comparisons.records.size(), 2u);
  EXPECT_EQ(comparisons.records[1].ranks, (std::vector<int>{2, 1, 2}));
  EXPECT_EQ(comparisons.counts.records, 3);
  EXPECT_EQ(said.str().find(":2: no JSON") != std::string::npos, world().rank() == 0);
  reading.files.on_bad_line = BadLine::stop;
  EXPECT_THROW(read_comparisons(reading), Error);
  world().barrier("read");
  if (world().rank() == 0) std::filesystem::remove(path);
  world().barrier("removed");
  EXPECT_THROW(read_comparisons(reading), Error);  // not there: rank 0 finds out, all throw
}

}  // namespace
}  // namespace coxswain
