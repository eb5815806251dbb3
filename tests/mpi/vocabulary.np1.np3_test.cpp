// Phase vocabulary: the files are the same bytes for any number of ranks; too little text is one error of all ranks.
#include "phases/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "mpi_test.h"

namespace coxswain {
namespace {

const std::string kShakespeare = std::string(COXSWAIN_SOURCE_DIR) + "/inputs/tiny/shakespeare.txt";

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Learns on a group's ranks; returns both files, for which every group has names of its own.
std::string learned(Communicator& group, const std::string& input, int tokens) {
  const std::string name = group.broadcast(
      (std::filesystem::temp_directory_path() / ("coxswain_vocabulary_" + std::to_string(getpid()))).string(), 0,
      "name");
  DataConfig config;
  config.input = input;
  config.vocabulary_file = name + ".json";
  config.merges_file = name + ".txt";
  Vocabulary phase(config, {}, tokens, group);
  while (phase.step() < phase.total_steps()) phase.run_step();
  phase.finish();
  const std::string files = bytes_of(config.vocabulary_file) + bytes_of(config.merges_file);
  group.barrier("read");
  if (group.rank() == 0)
    for (const std::string& path : {config.vocabulary_file, config.merges_file}) std::filesystem::remove(path);
  return files;
}

TEST(Vocabulary, TheFilesAreTheSameForAnyNumberOfRanks) {
  const auto alone = world().split(world().rank(), 0, "alone");
  const std::string serial = learned(*alone, kShakespeare, 600);
  EXPECT_EQ(learned(world(), kShakespeare, 600), serial);
  EXPECT_THAT(serial, testing::HasSubstr("\"<|endoftext|>\": 599}"));
}

TEST(Vocabulary, TooLittleTextIsNamed) {
  try {
    learned(world(), kShakespeare, 1'000'000);
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_THAT(error.what(), testing::HasSubstr("tokens only; use [model] vocabulary = "));
  }
}

}  // namespace
}  // namespace coxswain
