// Files of scores of two policies, put side by side.
#include "phases/scored_responses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <sstream>

#include "parallel/communicator.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::ElementsAre;

class ScoredResponsesTest : public testing::Test {
 protected:
  ScoredLines read(const std::string& text) {
    std::ofstream(folder.file("a.jsonl")) << text;
    return read_scored_lines({folder.file("a.jsonl"), "[test] files", BadLine::skip}, *world, log);
  }
  TemporaryFolder folder;
  std::unique_ptr<Communicator> world = make_planned_communicator(0, 1);
  std::ostringstream said;
  Log log{{.speaks = true, .speaker = "", .out = &said, .error = &said}};
};

TEST_F(ScoredResponsesTest, PromptsThatOneSideLacksAreLeftOut) {
  const ScoredLines ours = read(
      R"({"prompt": "a", "score": 1, "tokens": 5}
{"prompt": "b", "score": 2, "tokens": 6}
{"prompt": "a", "score": 3, "tokens": 7}
)");
  const ScoredLines theirs = read(
      R"({"prompt": "c", "score": 4, "tokens": 1}
{"prompt": "a", "score": 5, "tokens": 2}
{"prompt": "a", "score": 6, "tokens": [1, 2, 3]}
{"prompt": "a", "score": 7, "tokens": 4}
)");
  const ScoredPairs pairs = pair_by_prompt(ours, theirs);
  EXPECT_THAT(pairs.ours.scores, ElementsAre(1, 3));
  EXPECT_THAT(pairs.theirs.scores, ElementsAre(5, 6));
  EXPECT_THAT(pairs.ours.lengths, ElementsAre(5, 7));
  EXPECT_THAT(pairs.theirs.lengths, ElementsAre(2, 3));
  EXPECT_TRUE(pairs.in_tokens);
  EXPECT_EQ(pairs.our_lines_left_out, 1);
  EXPECT_EQ(pairs.their_lines_left_out, 2);
}

TEST_F(ScoredResponsesTest, LengthsOfBothSidesHaveOneUnit) {
  const ScoredLines ours = read(
      R"({"prompt": "a", "score": 1, "tokens": 2, "response": "long text"}
{"prompt": "b", "score": 1, "tokens": 1, "response": "b"}
)");
  const ScoredLines theirs = read(
      R"({"prompt": "a", "score": 1, "response": "long text too"}
{"prompt": "b", "score": 1, "tokens": 1, "response": "bb"}
)");
  const ScoredPairs pairs = pair_by_prompt(ours, theirs);
  EXPECT_FALSE(pairs.in_tokens);
  EXPECT_THAT(pairs.ours.lengths, ElementsAre(9, 1));
  EXPECT_THAT(pairs.theirs.lengths, ElementsAre(13, 2));
}

}  // namespace
}  // namespace coxswain
