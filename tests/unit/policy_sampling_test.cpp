// Every key of [generate] that says how responses are drawn reaches them.
#include "phases/policy_sampling.h"

#include <gtest/gtest.h>

namespace coxswain {
namespace {

TEST(PolicySampling, IsWhatGenerateSays) {
  DataConfig data;
  data.tokenizer = TokenizerKind::bytes;
  const auto tokenizer = make_tokenizer(data);
  ChatConfig config;
  config.stop = "ab";
  const ChatFormat chat(config, *tokenizer);
  GenerateConfig generate;
  generate.temperature = 0.5;
  generate.top_k = 7;
  generate.top_p = 0.25;
  generate.min_new_tokens = 2;
  generate.max_new_tokens = 9;
  generate.stop = "end";
  const Sampling sampling = policy_sampling(generate, 11, chat, *tokenizer);
  EXPECT_EQ(sampling.seed, 11u);
  EXPECT_EQ(sampling.temperature, 0.5);
  EXPECT_EQ(sampling.top_k, 7);
  EXPECT_EQ(sampling.top_p, 0.25);
  EXPECT_EQ(sampling.min_new_tokens, 2);
  EXPECT_EQ(sampling.max_new_tokens, 9);
  const auto stopped = [&](const char* text) { return is_stopped(tokenizer->encode(text), sampling); };
  EXPECT_TRUE(stopped("xab"));  // the chat's end of a response
  EXPECT_TRUE(stopped("xend"));
  EXPECT_TRUE(is_stopped({'x', tokenizer->end_of_document()}, sampling));
  EXPECT_FALSE(stopped("xen"));
  sampling.check(tokenizer->vocabulary_size());
}

}  // namespace
}  // namespace coxswain
