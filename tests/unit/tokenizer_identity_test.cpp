// A model's checkpoint knows its tokenizer.
#include "data/tokenizer_identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "memory_archive.h"

namespace coxswain {
namespace {

MemoryArchive written_by(const TokenizerIdentity& tokenizer) {
  MemoryArchive archive;
  visit_tokenizer(archive, tokenizer);
  return MemoryArchive::reader(archive);
}

TEST(TokenizerIdentity, AnotherTokenizerIsOneClearError) {
  MemoryArchive archive = written_by({"bytes", "bytes-257"});
  EXPECT_NO_THROW(visit_tokenizer(archive, {"bytes", "bytes-257"}));
  try {
    visit_tokenizer(archive, {"gpt2", "0123"});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_THAT(error.what(),
                testing::AllOf(testing::HasSubstr("bytes (bytes-257)"), testing::HasSubstr("gpt2 (0123)")));
  }
}

TEST(TokenizerIdentity, TextOfAnotherTokenizerIsNamed) {
  EXPECT_NO_THROW(require_same_tokens({"[data] source", "a.h5", "0123"}, "0123", "the prompts"));
  EXPECT_NO_THROW(require_same_tokens({"[data] source", "synthetic", ""}, "0123", "the prompts"));
  try {
    require_same_tokens({"[data] source", "a.h5", "4567"}, "0123", "the prompts");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_STREQ(error.what(),
                 "[data] source = a.h5 was made by another tokenizer than the prompts: tokenize it with the same one");
  }
}

TEST(TokenizerIdentity, TokensWithoutTextFitAll) {
  MemoryArchive synthetic = written_by({});
  EXPECT_NO_THROW(visit_tokenizer(synthetic, {"gpt2", "0123"}));
  MemoryArchive of_bytes = written_by({"bytes", "bytes-257"});
  EXPECT_NO_THROW(visit_tokenizer(of_bytes, {}));
}

TEST(TokenizerIdentity, ACheckpointWithoutItIsAccepted) {
  MemoryArchive nothing = MemoryArchive::reader(MemoryArchive());
  EXPECT_NO_THROW(visit_tokenizer(nothing, {"bytes", "bytes-257"}));
}

}  // namespace
}  // namespace coxswain
