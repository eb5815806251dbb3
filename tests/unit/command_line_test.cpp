#include "settings/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace coxswain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

CommandLine parse(std::vector<const char*> words) {
  words.insert(words.begin(), "coxswain");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

std::string refusal(const std::vector<const char*>& words) {
  try {
    parse(words);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "accepted";
}

TEST(CommandLine, TakesADeckAndOverrides) {
  const CommandLine command = parse({"--grid.tensor=2", "a.ini", "--run.steps", "30", "--check", "--grid.tenosr=1",
                                     "--optimizer.learning_rate=-1", "--generate.prompt=To be,  = or not"});
  EXPECT_EQ(command.deck, "a.ini");
  EXPECT_TRUE(command.check);
  EXPECT_FALSE(command.help_deck || command.version || command.help || command.markdown);
  EXPECT_THAT(command.overrides,
              ElementsAre(Pair("grid.tensor", "2"), Pair("run.steps", "30"), Pair("grid.tenosr", "1"),
                          Pair("optimizer.learning_rate", "-1"), Pair("generate.prompt", "To be,  = or not")));
}

TEST(CommandLine, HelpTakesASectionEitherWay) {
  EXPECT_EQ(parse({"--help-deck"}).section, "");
  EXPECT_TRUE(parse({"--help-deck"}).help_deck);
  EXPECT_EQ(parse({"--help-deck", "grid"}).section, "grid");
  EXPECT_EQ(parse({"--help-deck=grid", "--markdown"}).section, "grid");
  EXPECT_TRUE(parse({"--help-deck=grid", "--markdown"}).markdown);
  EXPECT_TRUE(parse({"--version"}).version);
  EXPECT_TRUE(parse({"-h"}).help);
}

TEST(CommandLine, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(refusal({}), HasSubstr("command line: which deck?\nusage: coxswain DECK"));
  EXPECT_THAT(refusal({"a.ini", "b.ini"}), HasSubstr("command line: one deck, please: a.ini, b.ini"));
  EXPECT_THAT(refusal({"a.ini", "--chekc"}), HasSubstr("command line: --chekc is no option"));
  EXPECT_THAT(refusal({"a.ini", "--che"}), HasSubstr("command line: --che is no option"));
  EXPECT_THAT(refusal({"a.ini", "--run.steps"}), HasSubstr("command line: "));
}

}  // namespace
}  // namespace coxswain
