// Prompts, demonstrations and comparisons as tokens, and what is left out of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/error.h"
#include "data/byte_tokenizer.h"
#include "data/demonstrations.h"
#include "data/preferences.h"
#include "data/prompts.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Readers : public testing::Test {
 protected:
  Readers() {
    ChatConfig config{.system_prefix = "S",
                      .user_prefix = "U",
                      .turn_end = "|",
                      .assistant_prefix = "A",
                      .response_start = "",
                      .stop = ""};
    chat.emplace(config, tokenizer);
  }
  Reading reading(const std::string& bytes, int most_tokens = 100, const std::string& name = "a.jsonl") {
    std::ofstream(folder.file(name), std::ios::binary) << bytes;
    const RecordFiles files{.paths = folder.file(name), .key = "[sft] train", .on_bad_line = BadLine::skip};
    return {files, *chat, *world, log, most_tokens};
  }
  std::string text(const std::vector<std::int32_t>& tokens) const { return tokenizer.decode(tokens); }
  static std::vector<std::string> reasons(const DropReport& report) {
    std::vector<std::string> all;
    for (const auto& entry : report.entries()) all.push_back(std::to_string(entry.count) + " " + entry.reason);
    return all;
  }

  TemporaryFolder folder;
  ByteTokenizer tokenizer;
  std::optional<ChatFormat> chat;
  std::unique_ptr<Communicator> world = make_planned_communicator(0, 1);
  std::ostringstream said;
  Log log{{.speaks = true, .speaker = "", .out = &said, .error = &said}};
};

TEST_F(Readers, Prompts) {
  const Prompts prompts = read_prompts(reading(R"({"prompt": "ab", "user": "u", "id": 3}
{"prompt": "", "user": "u"}
{"prompt": "abcdefgh"}
not json
{"prompt": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}]}
)",
                                               10));
  ASSERT_EQ(prompts.records.size(), 2u);
  EXPECT_EQ(text(prompts.records[0].tokens), "Uab|A");
  EXPECT_EQ(prompts.records[0].text, "ab");
  EXPECT_EQ(prompts.records[0].user, "u");
  EXPECT_EQ(prompts.records[0].id, "3");
  EXPECT_EQ(text(prompts.records[1].tokens), "Ux|Ay<|endoftext|>Uz|A");
  EXPECT_EQ(prompts.records[1].text, "\n\nHuman: x\n\nAssistant: y\n\nHuman: z\n\nAssistant:");
  EXPECT_EQ(prompts.counts.records, 5);
  EXPECT_THAT(reasons(prompts.counts.dropped),
              ElementsAre("1 empty prompt", "1 prompt of more than 10 tokens", "1 bad line"));
  EXPECT_THAT(said.str(), HasSubstr("2 prompts of 5 records, left out:"));
}

TEST_F(Readers, PlainPromptsAreOneALine) {
  const Prompts prompts = read_prompts(reading("ab\r\n\n {\"a\n\xff\n", 100, "a.txt"));
  ASSERT_EQ(prompts.records.size(), 2u);
  EXPECT_EQ(prompts.records[0].text, "ab");
  EXPECT_EQ(prompts.records[1].text, " {\"a");
  EXPECT_THAT(reasons(prompts.counts.dropped), ElementsAre("1 not UTF-8"));
  EXPECT_THAT(prompts.counts.dropped.entries()[0].examples, ElementsAre(HasSubstr("a.txt:4")));
}

TEST_F(Readers, FilesOfOneKindHoldRecordsOrLines) {
  for (const char* name : {"a.jsonl", "b.json", "c.txt", "d.txt"}) std::ofstream(folder.file(name)) << "x";
  const auto list = [&](const std::string& one, const std::string& other) {
    return folder.file(one) + ", " + folder.file(other);
  };
  EXPECT_TRUE(hold_records(list("a.jsonl", "b.json"), "[generate] prompts"));
  EXPECT_FALSE(hold_records(list("c.txt", "d.txt"), "[generate] prompts"));
  EXPECT_FALSE(hold_records(folder.file("*.txt"), "[generate] prompts"));
  EXPECT_THROW(hold_records(list("a.jsonl", "c.txt"), "[generate] prompts"), Error);
}

TEST_F(Readers, Demonstrations) {
  const Demonstrations all = read_demonstrations(reading(R"({"prompt": "ab", "response": "cd", "source": "s"}
{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
{"prompt": "ab", "response": "cdefg"}
{"prompt": "ab"}
{"prompt": "ab", "response": "\n"}
{"prompt": "aU", "response": "b"}
)",
                                                         8));
  ASSERT_EQ(all.records.size(), 2u);
  EXPECT_EQ(text(all.records[0].tokens), "Uab|Acd<|endoftext|>");
  EXPECT_THAT(all.records[0].is_response, ElementsAre(0, 0, 0, 0, 0, 1, 1, 1));
  EXPECT_EQ(all.records[0].source, "s");
  EXPECT_THAT(all.records[1].is_response, ElementsAre(0, 0, 0, 0, 1, 1));
  EXPECT_THAT(reasons(all.counts.dropped),
              ElementsAre("1 conversation of more than 8 tokens", "1 bad line", "1 empty response",
                          "1 a text with a marker of [chat] in it, U"));
}

TEST_F(Readers, Comparisons) {
  const Comparisons all = read_comparisons(reading(R"({"prompt": "a", "responses": ["b", "", "c"], "ranks": [2, 1, 3]}
{"prompt": "a", "responses": ["b", "cdefghijk"], "ranks": [1, 2]}
{"prompt": "a", "responses": ["b", "c"], "ranks": [1, 1]}
{"prompt": "a", "chosen": "b", "rejected": "b"}
{"prompt": "a", "responses": ["b"], "ranks": [1]}
{"prompt": "a", "responses": [], "ranks": []}
{"prompt": "a", "responses": ["b", "c"], "scores": [NaN, 1]}
{"prompt": "a", "responses": ["b", "c"], "scores": [0.5, 0.75], "labeler": "l", "source": "s"}
)",
                                                   10));
  ASSERT_EQ(all.records.size(), 2u);
  EXPECT_EQ(text(all.records[0].prompt), "Ua|A");
  ASSERT_EQ(all.records[0].responses.size(), 2u);
  EXPECT_EQ(text(all.records[0].responses[1]), "c<|endoftext|>");
  EXPECT_THAT(all.records[0].ranks, ElementsAre(2, 3));
  EXPECT_THAT(all.records[1].ranks, ElementsAre(2, 1));
  EXPECT_EQ(all.records[1].labeler, "l");
  EXPECT_EQ(all.records[1].source, "s");
  EXPECT_THAT(reasons(all.counts.dropped),
              ElementsAre("1 empty response", "1 response that ends beyond 10 tokens",
                          "2 comparison of one response only", "1 comparison of ties only",
                          "1 comparison of the same response", "1 comparison without responses", "1 bad line"));
}

TEST_F(Readers, NothingLeftIsAnError) {
  try {
    read_comparisons(reading("{\"prompt\": \"a\", \"responses\": [\"b\", \"c\"], \"ranks\": [1, 1]}\n"));
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_THAT(error.what(), HasSubstr("no usable comparisons in it of 1 records"));
    EXPECT_THAT(error.what(), HasSubstr("1  comparison of ties only"));
  }
  EXPECT_THROW(read_demonstrations(reading("{\"prompt\": \"a\"}\n")), Error);
  EXPECT_THROW(read_prompts(reading("\n", 10, "a.txt")), Error);
}

}  // namespace
}  // namespace coxswain
