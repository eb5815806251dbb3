// Which files a deck names, in every phase; outputs that would be written over inputs; inputs that are not there.
#include "settings/deck_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "io/append_file.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> text_of(const std::vector<NamedPath>& paths) {
  std::vector<std::string> all;
  for (const NamedPath& path : paths) all.push_back(path.key + "=" + path.path);
  return all;
}

// A phase with every key of every section given.
Settings full(const std::string& phase) {
  Settings settings;
  settings.run.phase = phase;
  settings.run.initialize_from = "begin";
  settings.run.validate_every = 1;
  settings.data.source = "a.h5, b.h5:2";
  settings.data.validation = "held.h5";
  settings.data.vocabulary_file = "v.json";
  settings.data.merges_file = "m.txt";
  settings.data.input = "*.txt, x.jsonl";
  settings.data.output = "out.h5";
  settings.data.validation_share = 0.1;
  settings.prepare.input = "raw.jsonl";
  settings.prepare.output = "p/train.jsonl";
  settings.prepare.validation = settings.prepare.test = "p/held.jsonl";
  settings.generate.prompts = "prompts.jsonl";
  settings.generate.output = settings.score.output = settings.evaluate.output = "said.jsonl";
  settings.score.input = settings.reward.comparisons = "pairs.jsonl";
  settings.reward.reference = settings.sft.demonstrations = "demonstrations.jsonl";
  settings.ppo.prompts = settings.evaluate.prompts = "prompts.jsonl";
  settings.ppo.reward_model = settings.evaluate.reward_model = settings.sft.reward_model = "rm";
  settings.evaluate.curve = "c1,c2";
  return settings;
}

TEST(DeckFiles, AreThoseOfThePhase) {
  const auto inputs = [](const std::string& phase) { return text_of(deck_files(full(phase)).inputs); };
  const auto outputs = [](const std::string& phase) { return text_of(deck_files(full(phase)).outputs); };
  EXPECT_THAT(inputs("tokenize"), ElementsAre("[data] input=*.txt", "[data] input=x.jsonl"));
  EXPECT_THAT(outputs("tokenize"), ElementsAre("[data] output=out.h5", "[data] validation=held.h5"));
  EXPECT_THAT(outputs("vocabulary"), ElementsAre("[data] vocabulary_file=v.json", "[data] merges_file=m.txt"));
  EXPECT_THAT(inputs("prepare"), ElementsAre("[prepare] input=raw.jsonl"));
  EXPECT_THAT(outputs("prepare"),
              ElementsAre("[prepare] output=p/train.jsonl", "[prepare] report=p/train_report.json"));
  EXPECT_THAT(inputs("pretrain"), ElementsAre("[run] initialize_from=begin", "[data] source=a.h5", "[data] source=b.h5",
                                              "[data] validation=held.h5"));
  EXPECT_THAT(inputs("benchmark"), IsEmpty());
  EXPECT_THAT(inputs("sft"), ElementsAre("[run] initialize_from=begin", "[sft] demonstrations=demonstrations.jsonl"));
  EXPECT_THAT(inputs("reward"), ElementsAre("[run] initialize_from=begin", "[reward] comparisons=pairs.jsonl",
                                            "[reward] reference=demonstrations.jsonl"));
  EXPECT_THAT(inputs("ppo"),
              ElementsAre("[run] initialize_from=begin", "[ppo] prompts=prompts.jsonl", "[ppo] reward_model=rm"));
  EXPECT_THAT(inputs("evaluate"), ElementsAre("[run] initialize_from=begin", "[data] validation=held.h5",
                                              "[evaluate] prompts=prompts.jsonl", "[evaluate] reward_model=rm",
                                              "[evaluate] curve=c1", "[evaluate] curve=c2"));
  EXPECT_THAT(inputs("score"), ElementsAre("[run] initialize_from=begin", "[score] input=pairs.jsonl"));
  for (const std::string phase : {"generate", "score", "evaluate"})
    EXPECT_THAT(outputs(phase), ElementsAre("[" + phase + "] output=said.jsonl"));
  Settings words = full("generate");
  words.data.tokenizer = TokenizerKind::gpt2;
  EXPECT_THAT(text_of(deck_files(words).inputs),
              ElementsAre("[run] initialize_from=begin", "[data] vocabulary_file=v.json", "[data] merges_file=m.txt",
                          "[generate] prompts=prompts.jsonl"));
}

class Apart : public testing::Test {
 protected:
  std::string problem(const std::string& output, const std::string& input = "*.txt") {
    try {
      require_apart(
          {.inputs = {{"in", folder.file(input)}}, .outputs = {{"other", folder.file("z")}, {"out", output}}});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      return error.what();
    }
    return "apart";
  }
  TemporaryFolder folder;
};

TEST_F(Apart, AnInputByAnyNameIsNoOutput) {
  replace_text_file(folder.file("a.txt"), "a");
  std::filesystem::create_directory(folder.file("sub"));
  std::filesystem::create_symlink(folder.path(), folder.file("link"));
  std::filesystem::create_hard_link(folder.file("a.txt"), folder.file("hard"));
  EXPECT_EQ(problem(folder.file("a.txt")), "out = " + folder.file("a.txt") + " would be written over in = " +
                                               folder.file("a.txt") + "; choose another name");
  for (const char* name : {"sub/../a.txt", "link/a.txt", "hard"})
    EXPECT_THAT(problem(folder.file(name)), HasSubstr("would be written over in")) << name;
  EXPECT_THAT(problem(folder.file("link/z")), HasSubstr("would be written over other"));
  EXPECT_THAT(problem(folder.file("b"), "b.tmp"), HasSubstr("would be written over in"));  // on its way to its name
  EXPECT_EQ(problem(folder.file("b.txt")), "apart");
  EXPECT_EQ(problem(folder.file("sub/a.txt")), "apart");
}

TEST_F(Apart, WhatIsMissingIsNamed) {
  replace_text_file(folder.file("a.txt"), "a");
  DeckFiles files;
  for (const char* name : {"a.txt", "*.txt", "", "no.txt", "*.no"}) files.inputs.push_back({"in", folder.file(name)});
  EXPECT_THAT(text_of(missing_inputs(files)), ElementsAre("in=" + folder.file("no.txt"), "in=" + folder.file("*.no")));
}

}  // namespace
}  // namespace coxswain
