// The forms of prompts, demonstrations and comparisons that users bring, line by line.
#include "data/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/json_lines.h"

namespace coxswain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Record one(const std::string& line, RecordKind kind = RecordKind::automatic) {
  std::vector<Record> records = parse_records(parse_record_text(line), kind);
  EXPECT_EQ(records.size(), 1u);
  return records.at(0);
}

// "bad: ..." or "unusable: ...".
std::string refusal(const std::string& line, RecordKind kind = RecordKind::automatic) {
  try {
    parse_records(parse_record_text(line), kind);
  } catch (const BadRecord& why) {
    return std::string("bad: ") + why.what();
  } catch (const UnusableRecord& why) {
    return std::string("unusable: ") + why.what();
  }
  return "accepted";
}

RecordKind kind(const std::string& line) { return kind_of(parse_record_text(line)); }

TEST(Record, KindsAreToldByTheirKeys) {
  EXPECT_EQ(kind(R"({"prompt": "a"})"), RecordKind::prompts);
  EXPECT_EQ(kind(R"({"messages": [{"role": "user", "content": "a"}]})"), RecordKind::prompts);
  EXPECT_EQ(kind(R"({"prompt": "a", "response": "b"})"), RecordKind::demonstrations);
  EXPECT_EQ(kind(R"({"instruction": "a", "output": "b"})"), RecordKind::demonstrations);
  EXPECT_EQ(kind(R"({"messages": [{"role": "assistant", "content": "a"}]})"), RecordKind::demonstrations);
  EXPECT_EQ(kind(R"({"prompt": "a", "responses": ["b"], "ranks": [1]})"), RecordKind::comparisons);
  EXPECT_EQ(kind(R"({"chosen": "a", "rejected": "b"})"), RecordKind::comparisons);
}

TEST(Record, ReadsPrompts) {
  const Record plain = one(R"({"prompt": "Hi", "user": 17, "id": "x", "source": null})");
  EXPECT_EQ(plain.prompt, (Conversation{{Role::user, "Hi"}}));
  EXPECT_EQ(plain.user, "17");
  EXPECT_EQ(plain.id, "x");
  EXPECT_EQ(plain.source, "");
  EXPECT_EQ(one(R"({"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"})").prompt.size(), 3u);
  EXPECT_EQ(one(R"({"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]})").prompt.size(),
            2u);
  EXPECT_EQ(one(R"({"prompt": "a", "system": "s"})").prompt, (Conversation{{Role::system, "s"}, {Role::user, "a"}}));
  EXPECT_EQ(one(R"({"prompt": "a", "response": "b"})", RecordKind::prompts).responses.size(), 0u);
  EXPECT_EQ(one(R"({"prompt": "a", "chosen": "b", "rejected": "c"})", RecordKind::prompts).ranks.size(), 0u);
}

TEST(Record, ReadsDemonstrations) {
  const Record plain = one(R"({"prompt": "a", "response": "b", "source": "web"})");
  EXPECT_THAT(plain.responses, ElementsAre("b"));
  EXPECT_EQ(plain.learned, Learned::last_response);
  EXPECT_EQ(plain.source, "web");
  EXPECT_THAT(one(R"({"prompt": "a", "completion": "b"})").responses, ElementsAre("b"));
  EXPECT_EQ(one(R"({"instruction": "Add", "input": "1 2", "output": "3"})").prompt.front().text, "Add\n\n1 2");
  EXPECT_EQ(one(R"({"instruction": "Add", "input": "", "output": "3"})").prompt.front().text, "Add");
  EXPECT_EQ(one(R"({"instruction": "Add", "input": null, "output": "3"})").prompt.front().text, "Add");
  const std::string instances =
      R"({"instruction": "I", "instances": [{"input": "a", "output": "b"}, {"output": "c"}]})";
  const std::vector<Record> two = parse_records(parse_record_text(instances), RecordKind::automatic);
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[1].prompt.front().text, "I");
  EXPECT_THAT(two[1].responses, ElementsAre("c"));
  const Record talk = one(R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                             {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]})");
  EXPECT_EQ(talk.learned, Learned::all_responses);
  EXPECT_EQ(talk.prompt.size(), 3u);
  EXPECT_THAT(talk.responses, ElementsAre("d"));
  const Record best = one(R"({"prompt": "a", "responses": ["x", "y"], "ranks": [2, 1]})", RecordKind::demonstrations);
  EXPECT_THAT(best.responses, ElementsAre("y"));
  EXPECT_TRUE(best.ranks.empty());
}

TEST(Record, ReadsComparisons) {
  const Record ranked = one(R"({"prompt": "a", "responses": ["x", "y", "z"], "ranks": [2, 1, 2], "labeler": "L"})");
  EXPECT_THAT(ranked.responses, ElementsAre("x", "y", "z"));
  EXPECT_THAT(ranked.ranks, ElementsAre(2, 1, 2));
  EXPECT_EQ(ranked.labeler, "L");
  EXPECT_THAT(one(R"({"prompt": "a", "responses": ["x", "y", "z"], "scores": [0.5, -1, 0.5]})").ranks,
              ElementsAre(1, 2, 1));
  EXPECT_THAT(one(R"({"prompt": "a", "responses": ["x", "y", "z"], "best": 1})").ranks, ElementsAre(2, 1, 2));
  const Record pair = one(R"({"prompt": "a", "chosen": "x", "rejected": "y"})");
  EXPECT_THAT(pair.responses, ElementsAre("x", "y"));
  EXPECT_THAT(pair.ranks, ElementsAre(1, 2));
  const Record hh = one(R"({"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
                           "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: e"})");
  EXPECT_EQ(hh.prompt.size(), 3u);
  EXPECT_THAT(hh.responses, ElementsAre("d", "e"));
  const Record messages = one(R"({"prompt": "a", "chosen": [{"role": "user", "content": "a"}, {"role": "assistant",
      "content": "b"}], "rejected": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}]})");
  EXPECT_THAT(messages.responses, ElementsAre("b", "c"));
}

// As libraries of our time write them: the prompt apart, each response a list of one message.
TEST(Record, ReadsPairsOfMessagesBesideTheirPrompt) {
  const Record pair = one(R"({"prompt": [{"role": "user", "content": "a"}],
      "chosen": [{"role": "assistant", "content": "b"}], "rejected": [{"role": "assistant", "content": "c"}]})");
  EXPECT_EQ(pair.prompt, (Conversation{{Role::user, "a"}}));
  EXPECT_THAT(pair.responses, ElementsAre("b", "c"));
  EXPECT_THAT(pair.ranks, ElementsAre(1, 2));
  EXPECT_THAT(one(R"({"prompt": "a", "chosen": " b", "rejected": "\n\nHuman: x\n\nAssistant: y"})").responses,
              ElementsAre(" b", "\n\nHuman: x\n\nAssistant: y"));
}

// "\n\nAssistant:" and " text" are one transcript cut in two.
TEST(Record, WhiteSpaceBehindATranscriptIsNoPartOfTheResponse) {
  EXPECT_THAT(one(R"({"prompt": "\n\nHuman: a\n\nAssistant:", "chosen": " b", "rejected": " c\n"})").responses,
              ElementsAre("b", "c"));
  EXPECT_THAT(one(R"({"prompt": "\n\nHuman: a\n\nAssistant:", "response": " b"})").responses, ElementsAre("b"));
  EXPECT_THAT(one(R"({"prompt": "\n\nHuman: a\n\nAssistant:", "responses": [" b", "c"], "best": 0})").responses,
              ElementsAre("b", "c"));
  EXPECT_THAT(one(R"({"prompt": "a", "response": " b"})").responses, ElementsAre(" b"));
}

TEST(Record, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> table[] = {
      {R"({"promt": "a"})", "bad: no key \"prompt\"; the line has promt"},
      {R"({})", "bad: no key \"prompt\"; the line has none"},
      {R"({"prompt": null})", "bad: \"prompt\" is null, a string is wanted"},
      {R"({"prompt": 7})", "bad: \"prompt\" is a JSON number, a string is wanted"},
      {R"({"prompt": "a", "user": [1]})", "bad: \"user\" is a JSON array, a string is wanted"},
      {R"({"prompt": " \n"})", "unusable: empty prompt"},
      {R"({"prompt": "a", "response": ""})", "unusable: empty response"},
      {R"({"prompt": "a", "response": null})", "bad: \"response\" is null, a string is wanted"},
      {R"({"instruction": "a", "output": " "})", "unusable: empty response"},
      {R"({"instruction": "", "output": "b"})", "unusable: empty prompt"},
      {R"({"prompt": [{"role": "robot", "content": "a"}]})",
       "bad: role \"robot\" is not known; use system, user or assistant"},
      {R"({"prompt": [{"role": "user"}]})", "bad: no key \"content\"; the line has role"},
      {R"({"prompt": [{"role": "user", "content": "a"}, {"role": "system", "content": "s"}]})",
       "bad: a system turn that is not the first"},
      {R"({"messages": []})", "unusable: a conversation without turns"},
      {R"({"prompt": [{"role": "assistant", "content": "a"}]})", "unusable: a prompt that ends with no user's turn"},
      {R"({"prompt": "a", "responses": [], "ranks": []})", "unusable: comparison without responses"},
      {R"({"prompt": "a", "responses": ["x", "y"], "ranks": [1]})", "bad: 2 responses and 1 ranks"},
      {R"({"prompt": "a", "responses": ["x", "y"], "ranks": [1, null]})", "bad: \"ranks\" is null, a number is wanted"},
      {R"({"prompt": "a", "responses": ["x", "y"], "ranks": [1, 1.5]})",
       "bad: \"ranks\" has 1.5; whole numbers are wanted, 1 for the best"},
      {R"({"prompt": "a", "responses": ["x", "y"], "ranks": [1, 99999999999999999999]})",
       "bad: \"ranks\" has 1e+20; whole numbers are wanted, 1 for the best"},
      {R"({"prompt": "a", "responses": ["x", "y"], "ranks": [-1, 1]})",
       "bad: \"ranks\" has -1; whole numbers are wanted, 1 for the best"},
      {R"({"prompt": "a", "responses": ["x", "y"], "best": 2})", "bad: \"best\" is 2, there are responses 0 to 1"},
      {R"({"prompt": "a", "responses": ["x", "y"]})",
       "bad: no key \"ranks\", \"scores\" or \"best\"; the line has prompt, responses"},
      {R"({"prompt": "a", "responses": "x", "ranks": [1]})",
       "bad: \"responses\" is a JSON string, an array of strings is wanted"},
      {R"({"prompt": "a", "responses": ["x", null], "ranks": [1, 2]})",
       "bad: \"responses\" is null, a string is wanted"},
      {R"({"prompt": "a", "chosen": "x"})", "bad: no key \"rejected\"; the line has chosen, prompt"},
      {R"({"chosen": "x", "rejected": "y"})", "bad: \"chosen\" is no transcript, and there is no \"prompt\" beside it"},
      {R"({"chosen": "Human: a\n\nAssistant: b", "rejected": "Human: x\n\nAssistant: c"})",
       "unusable: chosen and rejected differ before the last response"},
      {R"({"chosen": "Human: a\n\nAssistant:", "rejected": "Human: a\n\nAssistant: c"})",
       "unusable: a conversation that ends with no response"},
  };
  for (const auto& [line, message] : table) EXPECT_EQ(refusal(line), message) << line;
  EXPECT_THAT(refusal(R"({"prompt": "a"})", RecordKind::demonstrations), HasSubstr("bad: no \"response\""));
  EXPECT_THAT(refusal(R"({"prompt": "a", "response": "b"})", RecordKind::comparisons),
              HasSubstr("bad: no \"responses\""));
}

TEST(Record, WritesWhatItReads) {
  for (const char* line : {
           R"({"id":"7","user":"u","prompt":"a"})",
           R"({"source":"s","prompt":"a\n\nb","response":"c \"quoted\" é"})",
           R"({"prompt":[{"role":"system","content":"s"},{"role":"user","content":"a"}]})",
           R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})",
           R"({"labeler":"l","prompt":"a","responses":["x","y"],"ranks":[1,1]})",
       }) {
    const Record record = one(line);
    EXPECT_EQ(nlohmann::json::parse(to_json_line(record)), nlohmann::json::parse(line));
  }
  // A user's words that look like a transcript stay words.
  Record tricky;
  tricky.prompt = {{Role::user, "Human: a\n\nAssistant: b"}};
  EXPECT_EQ(one(to_json_line(tricky)).prompt, tricky.prompt);
  EXPECT_EQ(plain_text({{Role::user, "a"}, {Role::assistant, "b"}, {Role::user, "c"}}),
            "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:");
}

}  // namespace
}  // namespace coxswain
