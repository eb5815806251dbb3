// What a deck of phase sft must say, and what it is told where it does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "settings/settings.h"

namespace coxswain {
namespace {

using testing::HasSubstr;

constexpr const char* kDeck = R"([run]
phase = sft
validate_every = 10
[model]
preset = custom
layers = 2
hidden = 32
heads = 4
vocabulary = 257
context = 64
[batch]
global = 8
micro = 2
length = 64
[generate]
max_new_tokens = 32
[sft]
demonstrations = train.jsonl
validation = validation.jsonl
)";

std::string said(const Overrides& overrides) {
  try {
    read_settings(kDeck, "deck", overrides, 0);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "good";
}

TEST(SftSettings, DefaultsAreInstructGpts) {
  const SftConfig sft = read_settings(kDeck, "deck", {}, 0).sft;
  EXPECT_EQ(sft.epochs, 16);
  EXPECT_EQ(sft.pretrain_share, 0);
  EXPECT_TRUE(sft.packing);
  EXPECT_EQ(said({}), "good");
}

TEST(SftSettings, WhatIsMissingIsNamed) {
  EXPECT_THAT(said({{"sft.demonstrations", ""}}), HasSubstr("[sft] demonstrations must be given"));
  EXPECT_THAT(said({{"sft.validation", ""}}), HasSubstr("[sft] validation must be given"));
  EXPECT_THAT(said({{"sft.pretrain_share", "0.1"}}), HasSubstr("[data] source must be given"));
  EXPECT_EQ(said({{"sft.pretrain_share", "0.1"}, {"data.source", "text.h5"}}), "good");
  EXPECT_THAT(said({{"sft.pretrain_share", "0.6"}}), HasSubstr("use 0 to 0.5"));
  EXPECT_THAT(said({{"sft.choose", "loss"}, {"run.validate_every", "0"}}),
              HasSubstr("[run] validate_every must be given"));
  EXPECT_THAT(said({{"sft.choose", "reward"}}), HasSubstr("[sft] reward_model must be given"));
  const Overrides by_reward{{"sft.choose", "reward"}, {"sft.reward_model", "runs/rm"}};
  EXPECT_EQ(said(by_reward), "good");
  EXPECT_EQ(said({{"generate.samples", "2"}}), "good");  // nobody responds
  Overrides twice = by_reward;
  twice.emplace_back("generate.samples", "2");
  EXPECT_THAT(said(twice), HasSubstr("[generate] samples = 2: phase sft looks at one response to a prompt; use 1"));
  const auto with = [&](const std::string& key, const std::string& value) {
    Overrides overrides = by_reward;
    overrides.emplace_back(key, value);
    return said(overrides);
  };
  EXPECT_THAT(with("sft.validation", ""), HasSubstr("[sft] validation_prompts must be given"));
  EXPECT_THAT(with("generate.max_new_tokens", "64"), HasSubstr("leaves no room for a prompt"));
  EXPECT_THAT(said({{"sft.choose", "loss"}, {"checkpoint.at_end", "no"}}), HasSubstr("must be saved"));
  EXPECT_THAT(said({{"batch.ramp_start", "2"}, {"batch.ramp_tokens", "100"}}), HasSubstr("[batch] ramp_start = 2"));
}

TEST(SftSettings, OtherPhasesKnowNothingOfIt) {
  EXPECT_TRUE(has_use_for("sft", "sft"));
  EXPECT_FALSE(has_use_for("sft", "pretrain"));
  EXPECT_FALSE(has_use_for("ppo", "sft"));
}

}  // namespace
}  // namespace coxswain
