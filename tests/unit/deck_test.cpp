// Decks: what is read, where it stood, and each mistake with its line.
#include "base/deck.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace coxswain {
namespace {

std::string refusal(const std::string& text) {
  try {
    Deck deck(text, "a.ini");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "accepted";
}

TEST(Deck, KnowsSectionKeyValueAndPlace) {
  const Deck deck("# a comment\n\n[run]  # header\n  steps = 12  # meaning\nname=a = b\n[model]\nempty =\n", "a.ini");
  ASSERT_EQ(deck.entries().size(), 3u);
  EXPECT_EQ(deck.find("run.steps")->value, "12");
  EXPECT_EQ(deck.find("run.steps")->place, "a.ini:4");
  EXPECT_EQ(deck.find("run.name")->value, "a = b");
  EXPECT_EQ(deck.find("model.empty")->value, "");
  EXPECT_EQ(deck.find("model.empty")->place, "a.ini:7");
  EXPECT_FALSE(deck.has("run.empty"));
}

TEST(Deck, ReadsWindowsLineEndsByteOrderMarkAndNoLastNewline) {
  const Deck deck("\xef\xbb\xbf[run]\r\nsteps = 3\r\nseed = 4", "a.ini");
  EXPECT_EQ(deck.find("run.steps")->value, "3");
  EXPECT_EQ(deck.find("run.seed")->value, "4");
}

TEST(Deck, ASectionMayBeOpenedTwice) {
  const Deck deck("[run]\nsteps = 3\n[model]\nheads = 1\n[run]\nseed = 4\n", "a.ini");
  EXPECT_EQ(deck.find("run.seed")->place, "a.ini:6");
}

TEST(Deck, NamesEveryMistakeWithItsLine) {
  EXPECT_EQ(refusal("[run]\nsteps = 1\nsteps = 2\n"),
            "a.ini:3: [run] steps is given twice, first in line 2; leave one");
  EXPECT_EQ(refusal("steps = 1\n"), "a.ini:1: steps stands before the first [section]");
  EXPECT_EQ(refusal("[run]\nsteps 1\n"), "a.ini:2: 'steps 1' is neither [section] nor key = value");
  EXPECT_EQ(refusal("[run\nsteps = 1\n"),
            "a.ini:1: '[run' is no section header; use [section]\n"
            "a.ini:2: steps stands before the first [section]");
  EXPECT_EQ(refusal("[ run ]\n"), "a.ini:1: '[ run ]' is no section header; use [section]");
  EXPECT_EQ(refusal("[run]\n= 3\n"), "a.ini:2: '= 3' is neither [section] nor key = value");
}

TEST(Deck, CommandLineTakesTheDecksPlace) {
  Deck deck("[run]\nsteps = 1\n", "a.ini");
  deck.override_value("run.steps", "2");
  deck.override_value("grid.tensor", "4");
  EXPECT_EQ(deck.find("run.steps")->value, "2");
  EXPECT_EQ(deck.find("run.steps")->place, "command line");
  EXPECT_EQ(deck.find("grid.tensor")->value, "4");
  EXPECT_THROW(deck.override_value("run.steps", "3"), Error);
  EXPECT_THROW(deck.override_value("steps", "3"), Error);
}

TEST(Deck, PlacesAMessageAtTheFirstKeyThatStandsInIt) {
  const Deck deck("[model]\nhidden = 100\n", "a.ini");
  EXPECT_EQ(deck.located("[model] heads = 12 does not divide [model] hidden = 100"),
            "a.ini:2: [model] heads = 12 does not divide [model] hidden = 100");
  EXPECT_EQ(deck.located("[model] hidden: odd"), "a.ini:2: [model] hidden: odd");
  EXPECT_EQ(deck.located("[run] steps = 0"), "a.ini: [run] steps = 0");
  EXPECT_EQ(deck.located("no key [at"), "a.ini: no key [at");
}

TEST(Deck, SaysWhichFileCannotBeRead) {
  EXPECT_THROW(read_deck_text("/nowhere/a.ini"), Error);
  EXPECT_THROW(read_deck_text("/"), Error);
  EXPECT_THROW(read_deck_text("/dev/null"), Error);  // empty
}

}  // namespace
}  // namespace coxswain
