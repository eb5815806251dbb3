// Two files of scored responses, paired by their prompts: cases worked by hand.
#include "phases/scored_responses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/error.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ScoredResponsesTest : public testing::Test {
 protected:
  // Lines "prompt score"; each response has as many tokens as its score.
  ScoredLines read(const std::string& name, const std::vector<std::pair<std::string, int>>& lines) {
    std::ofstream file(folder.file(name));
    for (const auto& [prompt, score] : lines)
      file << "{\"prompt\": " << prompt << ", \"score\": " << score << ", \"tokens\": " << score << "}\n";
    file.close();
    return read_scored_lines({folder.file(name), "[evaluate] scores", BadLine::stop}, *world, log);
  }
  static std::vector<std::string> of(const DropReport& report) {
    std::vector<std::string> all;
    for (const auto& entry : report.entries())
      for (const std::string& place : entry.examples)
        all.push_back(entry.reason.substr(0, 4) + place.substr(place.rfind('/')));
    return all;
  }

  TemporaryFolder folder;
  std::unique_ptr<Communicator> world = make_planned_communicator(0, 1);
  std::ostringstream said;
  Log log{{.speaks = true, .speaker = "", .out = &said, .error = &said}};
};

TEST_F(ScoredResponsesTest, AnyOrderAndAnyMore) {
  const auto ours = read("a", {{R"("p")", 1}, {R"("q")", 2}, {R"("r")", 3}});
  const auto theirs = read("b", {{R"("s")", 9}, {R"("r")", 5}, {R"("p")", 7}});
  const PairedResponses pairs = pair_up(ours, theirs, "a", "b");
  EXPECT_THAT(pairs.ours.scores, ElementsAre(1, 3));
  EXPECT_THAT(pairs.theirs.scores, ElementsAre(7, 5));
  EXPECT_THAT(pairs.ours.lengths, ElementsAre(1, 3));
  EXPECT_THAT(pairs.theirs.lengths, ElementsAre(7, 5));
  EXPECT_TRUE(pairs.in_tokens);
  EXPECT_THAT(of(pairs.left_out), ElementsAre("a pr/a:2"));
  EXPECT_THAT(of(pairs.their_left_out), ElementsAre("a pr/b:1"));
  EXPECT_EQ(compare(pairs.ours, pairs.theirs).plain.trials, 2);
}

// The n-th response to a prompt meets the other side's n-th.
TEST_F(ScoredResponsesTest, SeveralSamplesOfAPrompt) {
  const auto ours = read("a", {{R"("p")", 1}, {R"("p")", 2}, {R"("p")", 3}, {R"("q")", 4}});
  const auto theirs = read("b", {{R"("q")", 10}, {R"("p")", 11}, {R"("q")", 12}, {R"("p")", 13}});
  const PairedResponses pairs = pair_up(ours, theirs, "a", "b");
  EXPECT_THAT(pairs.ours.scores, ElementsAre(1, 2, 4));
  EXPECT_THAT(pairs.theirs.scores, ElementsAre(11, 13, 10));
  EXPECT_THAT(of(pairs.left_out), ElementsAre("more/a:3"));
  EXPECT_THAT(of(pairs.their_left_out), ElementsAre("more/b:3"));
}

TEST_F(ScoredResponsesTest, TheSamePromptsLeaveNothingOut) {
  // A message's keys have no order.
  const auto ours = read("a", {{R"([{"role": "user", "content": "p"}])", 1}});
  const auto theirs = read("b", {{R"([{"content": "p", "role": "user"}])", 2}});
  const PairedResponses pairs = pair_up(ours, theirs, "a", "b");
  EXPECT_EQ(pairs.theirs.scores.size(), 1u);
  EXPECT_EQ(pairs.left_out.total() + pairs.their_left_out.total(), 0);
}

TEST_F(ScoredResponsesTest, NoCommonPromptIsRefused) {
  const std::string text(100, 'x');
  const auto ours = read("a", {{'"' + text + '"', 1}});
  const auto theirs = read("b", {{R"("p")", 2}, {R"("q")", 2}});
  try {
    pair_up(ours, theirs, "a.jsonl", "b.jsonl");
    FAIL() << "nothing was compared";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_THAT(error.what(), HasSubstr("no prompt of a.jsonl is one of b.jsonl"));
    EXPECT_THAT(error.what(), HasSubstr('"' + text.substr(0, 59) + "... (" + folder.file("a:1") + ")"));
    EXPECT_THAT(error.what(), HasSubstr("\"p\" (" + folder.file("b:1") + ")"));
  }
}

TEST_F(ScoredResponsesTest, LengthsOfBothSidesHaveOneUnit) {
  const auto text = [&](const std::string& name, const std::string& lines) {
    std::ofstream(folder.file(name)) << lines;
    return read_scored_lines({folder.file(name), "[test] files", BadLine::skip}, *world, log);
  };
  const ScoredLines ours = text("a", R"({"prompt": "a", "score": 1, "tokens": 2, "response": "long text"}
{"prompt": "b", "score": 1, "tokens": 1, "response": "b"}
)");
  const ScoredLines theirs = text("b", R"({"prompt": "a", "score": 1, "response": "long text too"}
{"prompt": "b", "score": 1, "tokens": [1], "response": "bb"}
)");
  const PairedResponses pairs = pair_up(ours, theirs, "a", "b");
  EXPECT_FALSE(pairs.in_tokens);
  EXPECT_THAT(pairs.ours.lengths, ElementsAre(9, 1));
  EXPECT_THAT(pairs.theirs.lengths, ElementsAre(13, 2));
  EXPECT_THAT(theirs.tokens, ElementsAre(-1, 1));
}

}  // namespace
}  // namespace coxswain
