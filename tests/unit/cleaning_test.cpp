// What phase prepare leaves out of a list of records, and how it splits them.
#include "data/cleaning.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "data/byte_tokenizer.h"

namespace coxswain {
namespace {

Record prompt(const std::string& text, const std::string& user = "") {
  Record record;
  record.prompt = {{Role::user, text}};
  record.user = user;
  return record;
}

Record comparison(std::vector<std::string> responses, std::vector<int> ranks, const std::string& text = "p") {
  Record record = prompt(text);
  record.responses = std::move(responses);
  record.ranks = std::move(ranks);
  return record;
}

class Cleaner : public testing::Test {
 protected:
  // "kept", or why not.
  std::string clean(Record& record) {
    if (!cleaning) cleaning.emplace(config, 1, chat);
    try {
      cleaning->clean(record, "a:1");
      return "kept";
    } catch (const UnusableRecord& why) {
      return why.what();
    }
  }
  std::string clean(Record&& record) { return clean(record); }

  PrepareConfig config;
  ByteTokenizer tokenizer;
  ChatFormat chat{ChatConfig{.system_prefix = "",
                             .user_prefix = "U",
                             .turn_end = "",
                             .assistant_prefix = "A",
                             .response_start = "",
                             .stop = ""},
                  tokenizer};
  std::optional<Cleaning> cleaning;
};

TEST_F(Cleaner, DropsPromptsWithALongCommonPrefix) {
  config.prefix_length = 5;
  EXPECT_EQ(clean(prompt("abcdeX")), "kept");
  EXPECT_EQ(clean(prompt("abcdeY")), "prompt that shares its first 5 characters");
  EXPECT_EQ(clean(prompt("abcd")), "kept");  // shorter: the same only as a whole
  EXPECT_EQ(clean(prompt("abcd")), "prompt that shares its first 5 characters");
  EXPECT_EQ(clean(prompt("abcdX")), "kept");
  const std::string e = "\xc3\xa9";  // characters, not bytes
  EXPECT_EQ(clean(prompt(e + e + e + "1")), "kept");
  EXPECT_EQ(clean(prompt(e + e + e + "2")), "kept");
  // A system's text in front makes no two prompts the same, nor different.
  Record first = prompt("vwxyz");
  first.prompt.insert(first.prompt.begin(), {Role::system, "a long system's text"});
  Record second = prompt("other");
  second.prompt.insert(second.prompt.begin(), {Role::system, "a long system's text"});
  EXPECT_EQ(clean(first), "kept");
  EXPECT_EQ(clean(second), "kept");
  EXPECT_EQ(clean(prompt("vwxyz")), "prompt that shares its first 5 characters");
}

// Each marker and letter is a token, and so is the stop behind "two": what is left at last is SUlastA.
TEST_F(Cleaner, ShortensLongPromptsByTheirOldestTurns) {
  const Conversation talk = {{Role::system, "S"},   {Role::user, "one"},       {Role::assistant, "two"},
                             {Role::user, "three"}, {Role::assistant, "four"}, {Role::user, "last"}};
  Record record = prompt("");
  record.prompt = talk;
  const auto all = static_cast<int>(chat.encode_prompt(talk).size());
  config.max_prompt_tokens = all - 1;
  EXPECT_EQ(clean(Record(record)), fmt::format("prompt of more than {} tokens", all - 1));
  cleaning.reset();
  config.long_prompts = LongPrompts::shorten;
  config.duplicates = Duplicates::keep;
  config.max_prompt_tokens = all;
  Record whole = record, once = record, twice = record;
  EXPECT_EQ(clean(whole), "kept");
  EXPECT_EQ(whole.prompt, talk);
  cleaning.reset();
  config.max_prompt_tokens = all - 1;
  EXPECT_EQ(clean(once), "kept");
  EXPECT_EQ(once.prompt, (Conversation{talk[0], talk[3], talk[4], talk[5]})) << "a system's text stays";
  cleaning.reset();
  config.max_prompt_tokens = 7;
  EXPECT_EQ(clean(twice), "kept");
  EXPECT_EQ(twice.prompt, (Conversation{talk[0], talk[5]}));
  EXPECT_EQ(cleaning->shortened(), 1);
  cleaning.reset();
  config.max_prompt_tokens = 6;
  EXPECT_EQ(clean(record), "prompt of more than 6 tokens");
}

// What was one conversation falls on one side of the split, and is one prompt, also where little of it is left.
TEST_F(Cleaner, ShortenedPromptsAreSplitByWhatTheyWere) {
  config.long_prompts = LongPrompts::shorten;
  config.max_prompt_tokens = 3;
  config.validation_share = 0.5;
  config.prefix_length = 3;
  config.duplicates = Duplicates::keep;
  Cleaning cutting(config, 1, chat);
  config.max_prompt_tokens = 100;
  Cleaning whole(config, 1, chat);
  for (int i = 0; i < 20; ++i) {
    Record record = prompt("x");
    record.prompt.insert(record.prompt.begin(), {{Role::user, fmt::format("{:03}", i)}, {Role::assistant, "y"}});
    Record other = record;
    EXPECT_EQ(cutting.clean(record, "a:1"), whole.clean(other, "a:1")) << i;
    EXPECT_EQ(record.prompt.size(), 1u);
  }
  config.max_prompt_tokens = 3;
  config.duplicates = Duplicates::prompts;
  Record first = prompt("x"), second = prompt("x");
  first.prompt.insert(first.prompt.begin(), {{Role::user, "abcd"}, {Role::assistant, "y"}});
  second.prompt.insert(second.prompt.begin(), {{Role::user, "abce"}, {Role::assistant, "y"}});
  EXPECT_EQ(clean(first), "kept");
  EXPECT_EQ(clean(second), "prompt that shares its first 3 characters");
}

TEST_F(Cleaner, DropsEqualRecordsOnly) {
  config.duplicates = Duplicates::records;
  EXPECT_EQ(clean(comparison({"a", "b"}, {1, 2})), "kept");
  EXPECT_EQ(clean(comparison({"a", "c"}, {1, 2})), "kept");
  EXPECT_EQ(clean(comparison({"a", "b"}, {1, 2})), "record that is there already");
  Record other = comparison({"a", "b"}, {1, 2});
  other.labeler = "another";
  EXPECT_EQ(clean(other), "kept");
}

TEST_F(Cleaner, KeepsAtMostSoManyAUser) {
  config.max_per_user = 2;
  for (const char* text : {"a", "b"}) EXPECT_EQ(clean(prompt(text, "u")), "kept");
  EXPECT_EQ(clean(prompt("c", "u")), "more than 2 of a user");
  EXPECT_EQ(clean(prompt("d", "v")), "kept");
  for (const char* text : {"e", "f", "g"}) EXPECT_EQ(clean(prompt(text)), "kept");  // nobody's
  EXPECT_EQ(cleaning->users(), 2);
}

TEST_F(Cleaner, DropsWhatIsTooLong) {
  config.max_prompt_tokens = 6;
  config.max_response_tokens = 3;
  EXPECT_EQ(clean(prompt("1234")), "kept");  // with the two markers
  EXPECT_EQ(clean(prompt("12345")), "prompt of more than 6 tokens");
  Record demonstration = prompt("12");
  demonstration.responses = {"ab"};
  EXPECT_EQ(clean(demonstration), "kept");  // with the stop
  demonstration.responses = {"abc"};
  EXPECT_EQ(clean(demonstration), "response of more than 3 tokens");
  Record ranked = comparison({"ab", "abc", "c", " "}, {2, 1, 3, 4});
  EXPECT_EQ(clean(ranked), "kept");
  EXPECT_THAT(ranked.responses, testing::ElementsAre("ab", "c"));
  EXPECT_THAT(ranked.ranks, testing::ElementsAre(2, 3));
  EXPECT_EQ(cleaning->dropped_responses().total(), 2);
  EXPECT_EQ(clean(comparison({"ab", "abc"}, {1, 2})), "comparison of one response only");
  EXPECT_EQ(clean(comparison({"a", "b"}, {1, 1})), "comparison of ties only");
}

TEST_F(Cleaner, DropsOrMasksPersonalData) {
  EXPECT_EQ(clean(prompt("I am a@b.de")), "personal data: e-mail address");
  Record ranked = comparison({"a@b.de", "b", "c"}, {1, 2, 3});
  EXPECT_EQ(clean(ranked), "kept");
  EXPECT_EQ(ranked.responses.size(), 2u);
  cleaning.reset();
  config.personal_data = PersonalDataRule::mask;
  Record record = prompt("I am a@b.de");
  EXPECT_EQ(clean(record), "kept");
  EXPECT_EQ(record.prompt.front().text, "I am [E-MAIL]");
  EXPECT_EQ(cleaning->personal()[static_cast<std::size_t>(PersonalKind::email)], 1);
  cleaning.reset();
  config.personal_data = PersonalDataRule::keep;
  EXPECT_EQ(clean(record = prompt("I am a@b.de")), "kept");
  EXPECT_EQ(record.prompt.front().text, "I am a@b.de");
}

TEST_F(Cleaner, DropsTextsWithMarkers) {
  EXPECT_EQ(clean(prompt("say U")), "a text with a marker of [chat] in it, U");
  EXPECT_EQ(clean(comparison({"A", "b"}, {1, 2})), "a text with a marker of [chat] in it, A");
}

TEST(Split, IsAHashOfTheUser) {
  std::map<Split, int> parts;
  constexpr int kUsers = 20000;
  int moved = 0;
  for (int i = 0; i < kUsers; ++i) {
    const std::string user = "user " + std::to_string(i);
    const Split part = split_of(user, 7, 0.1, 0.2);
    EXPECT_EQ(split_of(user, 7, 0.1, 0.2), part);
    ++parts[part];
    // A larger validation set takes from the training set alone.
    if (part != Split::train) {
      EXPECT_EQ(split_of(user, 7, 0.5, 0.2), part);
    }
    moved += split_of(user, 8, 0.1, 0.2) != part ? 1 : 0;
    EXPECT_EQ(split_of(user, 7, 0, 0), Split::train);
  }
  EXPECT_NEAR(parts[Split::validation], 0.1 * kUsers, 200);
  EXPECT_NEAR(parts[Split::test], 0.2 * kUsers, 300);
  EXPECT_GT(moved, kUsers / 4);  // another seed, another split
}

TEST_F(Cleaner, AUserIsInOnePartOnly) {
  config.validation_share = 0.3;
  config.test_share = 0.3;
  cleaning.emplace(config, 1, chat);
  std::map<std::string, Split> part_of;
  std::map<Split, int> parts;
  for (int i = 0; i < 300; ++i) {
    Record record = prompt("text " + std::to_string(i), "user " + std::to_string(i % 30));
    const Split part = cleaning->clean(record, "a:1");
    EXPECT_EQ(part_of.try_emplace(record.user, part).first->second, part);
    ++parts[part];
  }
  EXPECT_EQ(parts.size(), 3u);
}

TEST(PrepareConfig, SaysWhatCannotBe) {
  PrepareConfig config;
  config.validation_share = config.test_share = 0.5;
  EXPECT_THROW(config.check(), Error);
  config.test_share = 0.25;
  EXPECT_NO_THROW(config.check());
}

}  // namespace
}  // namespace coxswain
