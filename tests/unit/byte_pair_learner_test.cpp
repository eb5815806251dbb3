// Learning a byte-level byte-pair encoding: by hand, against Hugging Face's implementation, and read back.
#include "data/byte_pair_learner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "data/byte_characters.h"
#include "data/gpt2_tokenizer.h"
#include "data/text_blocks.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The tokens beyond the bytes.
std::vector<std::string> learned(const WordCounts& words, int merges) {
  const BytePairs pairs = learn_byte_pairs(words, 257 + merges);
  return {pairs.tokens.begin() + 256, pairs.tokens.end()};
}

TEST(BytePairLearner, MergesTheMostFrequentPairFirst) {
  // ab comes 5 times, bc 2, cd 1; then ab-c 2, cd 1
  EXPECT_THAT(learned({{"ab", 3}, {"abc", 2}, {"cd", 1}}, 9), ElementsAre("ab", "abc", "cd"));
  EXPECT_THAT(learned({{"ab", 3}, {"abc", 2}, {"cd", 1}}, 1), ElementsAre("ab"));
  EXPECT_THAT(learned({{"aaaa", 1}, {"aaa", 1}}, 9), ElementsAre("aa", "aaa", "aaaa")) << "leftmost first";
  EXPECT_THAT(learned({{"ba", 1}, {"ab", 1}, {"cc", 1}}, 2), ElementsAre("ab", "ba")) << "of equals the earlier tokens";
  EXPECT_THAT(learned({{"a", 7}}, 9), IsEmpty());
}

TEST(BytePairLearner, GivesTheMergesOfHuggingFace) {
  const std::string golden = std::string(COXSWAIN_SOURCE_DIR) + "/tests/golden/gpt2_small_";
  const TextBlocks text({std::string(COXSWAIN_SOURCE_DIR) + "/inputs/tiny/shakespeare.txt"}, {});
  WordCounter words;
  for (std::int64_t block = 0; block < text.blocks(); ++block) text.encode(block, words);
  const BytePairs pairs = learn_byte_pairs(words.counts(), 857);
  EXPECT_EQ(pairs.merges_text(), read_file(golden + "merges.txt"));
}

TEST(BytePairLearner, IsReadByTheTokenizer) {
  TemporaryFolder folder;
  WordCounter words;
  std::vector<std::int32_t> none;
  const std::string text = "Einige \"W\xc3\xb6rter\" \\ und noch einige W\xc3\xb6rter,\n\nund \xff\x00 Bytes und Bytes";
  words.encode(text, none);
  EXPECT_THAT(none, IsEmpty());
  const BytePairs pairs = learn_byte_pairs(words.counts(), 290);
  std::ofstream(folder.file("vocabulary.json"), std::ios::binary) << pairs.vocabulary_json();
  std::ofstream(folder.file("merges.txt"), std::ios::binary) << pairs.merges_text();
  Gpt2Tokenizer tokenizer(folder.file("vocabulary.json"), folder.file("merges.txt"));
  EXPECT_EQ(tokenizer.vocabulary_size(), static_cast<int>(pairs.tokens.size()) + 1);
  EXPECT_EQ(tokenizer.end_of_document(), static_cast<std::int32_t>(pairs.tokens.size()));
  const std::vector<std::int32_t> ids = tokenizer.encode(text);
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_LT(ids.size(), text.size());
}

TEST(ByteCharacters, StandForEveryByte) {
  std::string bytes, back;
  for (int byte = 0; byte < 256; ++byte) bytes.push_back(static_cast<char>(byte));
  ASSERT_TRUE(bytes_of_characters(characters_of_bytes(bytes), back));
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(characters_of_bytes(" a\n"),
            "\xc4\xa0"
            "a\xc4\x8a");  // U+0120, a, U+010A
  EXPECT_FALSE(bytes_of_characters("\xe2\x82\xac", back));
}

}  // namespace
}  // namespace coxswain
