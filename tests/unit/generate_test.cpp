// What phase generate takes for prompts.
#include "phases/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/error.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::HasSubstr;

class GeneratePrompts : public testing::Test {
 protected:
  GeneratePrompts() {
    config.model.layers = 1;
    config.model.hidden = 16;
    config.model.heads = 2;
    config.model.vocabulary = 257;
    config.model.context = config.length = 16;
    config.model.check();
    config.generate.max_new_tokens = 6;
    config.generate.slots = 1;
    config.generate.samples = 8;  // so that each prompt is a step
    config.run.directory = folder.file("run");
  }
  std::string file(const std::string& name, const std::string& bytes) {
    std::ofstream(folder.file(name), std::ios::binary) << bytes;
    return folder.file(name);
  }
  std::int64_t prompts() {
    GridConfig one;
    one.check(1);
    const ProcessGrid grid = ProcessGrid::planned(one, 0);
    const auto backend = make_cpu_backend();
    return Generate(config, grid, *backend, log).total_steps();
  }

  TemporaryFolder folder;
  GeneratePhaseConfig config;
  std::ostringstream said;
  Log log{{.speaks = true, .speaker = "", .out = &said, .error = &said}};
};

TEST(GenerateSlots, AreNoMoreThanTheResponsesOfADataRank) {
  GenerateConfig config;
  config.slots = 32;
  config.prompt = "one";
  EXPECT_EQ(config.busy_slots(1), 1);
  config.samples = 9;
  EXPECT_EQ(config.busy_slots(1), 9);
  EXPECT_EQ(config.busy_slots(2), 5);
  EXPECT_EQ(config.busy_slots(16), 1);
  config.synthetic_prompts = 5;
  EXPECT_EQ(config.busy_slots(1), 32);
  EXPECT_EQ(config.busy_slots(3), 15);
  config.prompts = "how many/it/has.jsonl";
  EXPECT_EQ(config.busy_slots(3), 32);
}

TEST_F(GeneratePrompts, FilesOfLinesLeaveOutWhatDoesNotFit) {
  config.generate.prompts = file("a.txt", "ten bytes!\r\nab\n\n\xff\n") + ", " + file("b.txt", "cd\neleven byte\n");
  EXPECT_EQ(prompts(), 3) << "CR is no eleventh byte";
  EXPECT_THAT(said.str(), HasSubstr("1  prompt of more than 10 tokens: " + folder.file("b.txt:2")));
  EXPECT_THAT(said.str(), HasSubstr("1  not UTF-8: " + folder.file("a.txt:4")));
}

TEST_F(GeneratePrompts, OnePromptThatDoesNotFitIsAnError) {
  config.generate.prompt = "eleven byte";
  EXPECT_THROW(prompts(), Error);
  config.generate.prompt = "ten bytes!";
  EXPECT_EQ(prompts(), 1);
}

TEST_F(GeneratePrompts, RecordsAndLinesDoNotMix) {
  config.generate.prompts = file("a.txt", "ab\n") + ", " + file("b.jsonl", "{\"prompt\": \"\"}\n");
  EXPECT_THROW(prompts(), Error);
}

}  // namespace
}  // namespace coxswain
