// Slots are refilled at once, prompts go through in chunks, groups share one queue; and when a response ends.
#include "rl/slot_schedule.h"

#include <gmock/gmock.h>

#include "data/byte_tokenizer.h"

namespace coxswain {
namespace {

using testing::ElementsAre;

std::vector<GenerationRequest> prompts_of(std::initializer_list<int> lengths) {
  std::vector<GenerationRequest> requests;
  for (const int length : lengths) {
    GenerationRequest request;
    request.prompt_index = std::ssize(requests);
    for (int i = 0; i < length; ++i) request.prompt.push_back(static_cast<std::int32_t>(10 * requests.size()) + i);
    requests.push_back(request);
  }
  return requests;
}

Sampling up_to(int tokens) {
  Sampling sampling;
  sampling.max_new_tokens = tokens;
  sampling.stop_tokens = {99};
  return sampling;
}

void accept(SlotSchedule& schedule, std::vector<std::int32_t> tokens, int group = 0) {
  schedule.accept(group, tokens, std::vector<float>(tokens.size(), -0.5f));
}

TEST(SlotSchedule, PutsPromptsThroughInChunksBesideSlotsThatRespond) {
  const auto requests = prompts_of({2, 5});
  const Sampling sampling = up_to(3);
  SlotSchedule schedule(requests, {0, 1}, sampling, {1, 2, 100, 4});
  const PassPlan& first = schedule.plan(0);
  EXPECT_THAT(first.tokens, ElementsAre(0, 1, 10, 11));
  EXPECT_THAT(first.positions, ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(first.slots, ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(first.sampled, ElementsAre(1));
  accept(schedule, {7});
  const PassPlan& second = schedule.plan(0);
  EXPECT_THAT(second.tokens, ElementsAre(7, 12, 13, 14));
  EXPECT_THAT(second.positions, ElementsAre(2, 2, 3, 4));
  EXPECT_THAT(second.sampled, ElementsAre(0, 3));
}

TEST(SlotSchedule, RefillsASlotInThePassAfterItsResponseEnded) {
  const auto requests = prompts_of({1, 1, 1});
  const Sampling sampling = up_to(2);
  SlotSchedule schedule(requests, {0, 1, 2}, sampling, {1, 2, 100, 8});
  schedule.plan(0);
  accept(schedule, {99, 5});  // the first one stops
  const PassPlan& plan = schedule.plan(0);
  EXPECT_THAT(plan.tokens, ElementsAre(20, 5));
  EXPECT_THAT(plan.slots, ElementsAre(0, 1));
  accept(schedule, {6, 7});
  EXPECT_THAT(schedule.plan(0).tokens, ElementsAre(6));  // nobody waits any more
  accept(schedule, {8});
  EXPECT_EQ(schedule.plan(0).rows(), 0);
  const auto& responses = schedule.responses();
  EXPECT_THAT(responses[0].tokens, ElementsAre(99));
  EXPECT_EQ(responses[0].finish_reason, FinishReason::stop);
  EXPECT_THAT(responses[1].tokens, ElementsAre(5, 7));
  EXPECT_EQ(responses[1].finish_reason, FinishReason::length);
  EXPECT_THAT(responses[2].tokens, ElementsAre(6, 8));
  EXPECT_DOUBLE_EQ(responses[2].log_probability, -1.0);
}

TEST(SlotSchedule, GroupsShareTheQueueAndTheContextEndsAResponse) {
  const auto requests = prompts_of({1, 1, 1});
  const Sampling sampling = up_to(50);
  SlotSchedule schedule(requests, {0, 1, 2}, sampling, {2, 1, 3, 8});
  EXPECT_THAT(schedule.plan(0).slots, ElementsAre(0));
  EXPECT_THAT(schedule.plan(1).slots, ElementsAre(1));
  accept(schedule, {1}, 0);
  schedule.plan(0);
  accept(schedule, {99}, 1);
  EXPECT_THAT(schedule.plan(1).tokens, ElementsAre(20));
  accept(schedule, {2}, 0);
  EXPECT_EQ(schedule.plan(0).rows(), 0);
  EXPECT_THAT(schedule.responses()[0].tokens, ElementsAre(1, 2));  // 1 + 2 tokens fill the context
}

TEST(SlotSchedule, SharesAPromptOutToThePassesOfAllGroups) {
  const auto requests = prompts_of({7, 2, 4});
  const Sampling sampling = up_to(50);
  SlotSchedule schedule(requests, {0, 1, 2}, sampling, {2, 1, 100, 8});
  const PassPlan& first = schedule.plan(0);
  EXPECT_THAT(first.tokens, ElementsAre(0, 1, 2, 3));  // half of seven
  EXPECT_TRUE(first.sampled.empty());
  const PassPlan& other = schedule.plan(1);
  EXPECT_THAT(other.tokens, ElementsAre(10, 11, 4, 5));  // the group's own prompt, then what the share has left
  EXPECT_THAT(other.positions, ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(other.slots, ElementsAre(1, 1, 0, 0));
  EXPECT_THAT(other.sampled, ElementsAre(1));
  accept(schedule, {}, 0);
  const PassPlan& last = schedule.plan(0);
  EXPECT_THAT(last.tokens, ElementsAre(6));  // the row whose token is wanted goes with its own group
  EXPECT_THAT(last.sampled, ElementsAre(0));
  accept(schedule, {8}, 1);
  EXPECT_THAT(schedule.plan(1).tokens, ElementsAre(8));
  accept(schedule, {99}, 0);
  EXPECT_THAT(schedule.plan(0).tokens, ElementsAre(20, 21));  // half of four: shares are those of prompts that wait
}

TEST(SlotSchedule, APromptThatComesToAnIdleGroupKeepsItAtWork) {
  const auto requests = prompts_of({1, 1, 3});
  const Sampling sampling = up_to(1);
  SlotSchedule schedule(requests, {0, 1, 2}, sampling, {2, 1, 100, 8});
  schedule.plan(0);
  schedule.plan(1);
  accept(schedule, {1}, 0);
  EXPECT_THAT(schedule.plan(0).tokens, ElementsAre(20, 21));
  accept(schedule, {2}, 1);
  EXPECT_EQ(schedule.plan(1).rows(), 0);  // carries none: the last row is for the own group
  accept(schedule, {}, 0);
  EXPECT_THAT(schedule.plan(0).tokens, ElementsAre(22));
  accept(schedule, {3}, 0);
  EXPECT_EQ(schedule.plan(0).rows(), 0);
  EXPECT_THAT(schedule.responses()[2].tokens, ElementsAre(3));
}

TEST(Sampling, StopsCountFromTheSmallestLengthOn) {
  Sampling sampling = up_to(10);
  sampling.min_new_tokens = 2;
  sampling.stop_sequences = {{3, 4}, {5}};
  EXPECT_TRUE(bans_stops(sampling, 1));
  EXPECT_FALSE(bans_stops(sampling, 2));
  EXPECT_THAT(banned_tokens(sampling), ElementsAre(99, 5));
  EXPECT_FALSE(is_stopped({99}, sampling));
  EXPECT_TRUE(is_stopped({1, 2, 99}, sampling));
  EXPECT_TRUE(is_stopped({1, 3, 4}, sampling));
  EXPECT_FALSE(is_stopped({3, 4, 1}, sampling));
}

TEST(Sampling, StopTextsMayBeCutAnywhereByTokens) {
  ByteTokenizer tokenizer;
  Sampling sampling = up_to(10);
  sampling.tokenizer = &tokenizer;
  sampling.stop_texts = {"END"};
  EXPECT_FALSE(is_stopped(tokenizer.encode("an EN"), sampling));
  EXPECT_TRUE(is_stopped(tokenizer.encode("an END"), sampling));
}

TEST(Sampling, NumbersDependOnEverythingThatNamesAToken) {
  const auto requests = prompts_of({1, 1});
  Sampling sampling;
  const double number = sampling_uniform(sampling, requests[0], 0);
  GenerationRequest other = requests[0];
  other.sample = 1;
  EXPECT_NE(sampling_uniform(sampling, other, 0), number);
  EXPECT_NE(sampling_uniform(sampling, requests[1], 0), number);
  EXPECT_NE(sampling_uniform(sampling, requests[0], 1), number);
  sampling.step = 1;
  EXPECT_NE(sampling_uniform(sampling, requests[0], 0), number);
}

}  // namespace
}  // namespace coxswain
