#include "base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace coxswain {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Text, TrimsAndSplits) {
  EXPECT_EQ(trim("  a b\t\r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_THAT(split(" a, b ,,c", ','), ElementsAre("a", "b", "", "c"));
  EXPECT_THAT(split(" ", ','), IsEmpty());
}

TEST(Text, EditDistanceOfHandWorkedPairs) {
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("mirco", "micro"), 1);  // neighbours swapped
  EXPECT_EQ(edit_distance("same", "same"), 0);
}

TEST(Text, NearestWordIsAtMostALikelySlipAway) {
  const std::vector<std::string> words = {"tensor", "pipeline", "data"};
  EXPECT_EQ(nearest_word("tenosr", words), "tensor");
  EXPECT_EQ(nearest_word("pipelines", words), "pipeline");
  EXPECT_EQ(nearest_word("optimizer", words), "");
}

TEST(Text, EscapesAreTakenBack) {
  for (const std::string& text : {std::string("a\n\tb"), std::string(" # \\ "), std::string("\x01\x7f"), std::string(),
                                  std::string(" "), std::string("caf\xc3\xa9")}) {
    const std::string escaped = escape(text);
    EXPECT_EQ(unescape(escaped), text);
    EXPECT_EQ(escaped.find('#'), std::string::npos);
    EXPECT_EQ(escaped, trim(escaped));
  }
  EXPECT_EQ(escape("a\n"), "a\\n");
  EXPECT_EQ(unescape("\\x23x"), "#x");
  EXPECT_THROW(unescape("\\q"), std::invalid_argument);
  EXPECT_THROW(unescape("\\x2"), std::invalid_argument);
  EXPECT_THROW(unescape("\\xg1"), std::invalid_argument);
  EXPECT_THROW(unescape("a\\"), std::invalid_argument);
}

TEST(Text, WrapsAtSpaces) {
  EXPECT_THAT(wrap("one two three", 7), ElementsAre("one two", "three"));
  EXPECT_THAT(wrap("longer than", 3), ElementsAre("longer", "than"));
}

}  // namespace
}  // namespace coxswain
