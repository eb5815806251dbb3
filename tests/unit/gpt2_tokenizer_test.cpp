// GPT-2's tokenizer gives the ids that Hugging Face's implementation gives (golden/make_gpt2_tokens.py), and returns
// every byte. COXSWAIN_GPT2_DIR may name a folder with gpt2_vocab.json, gpt2_merges.txt and gpt2_tokens.json for the
// published vocabulary.
#include "data/gpt2_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "data/utf8.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

const std::string kGolden = std::string(COXSWAIN_SOURCE_DIR) + "/tests/golden/";

Gpt2Tokenizer small_tokenizer() {
  return Gpt2Tokenizer(kGolden + "gpt2_small_vocabulary.json", kGolden + "gpt2_small_merges.txt");
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// At most a few failures are shown: a wrong table breaks thousands of texts.
void expect_golden(Tokenizer& tokenizer, const std::string& path) {
  const nlohmann::json golden = nlohmann::json::parse(read_file(path));
  int failures = 0, texts = 0;
  for (const auto& item : golden.at("cases")) {
    const auto text = item.at("text").get<std::string>();
    const auto ids = item.at("ids").get<std::vector<std::int32_t>>();
    const auto found = tokenizer.encode(text);
    ++texts;
    EXPECT_EQ(tokenizer.decode(found), text);
    if (found == ids) continue;
    const auto at = std::mismatch(found.begin(), found.end(), ids.begin(), ids.end());
    ADD_FAILURE() << path << " case " << texts << ": differs from id " << (at.first - found.begin()) << " of "
                  << ids.size() << ", after \""
                  << tokenizer.decode({found.data(), static_cast<std::size_t>(at.first - found.begin())}).substr(0, 200)
                  << "\"";
    if (++failures == 5) return;
  }
  EXPECT_GT(texts, 20);
}

template <class Action>
void expect_data_error(const Action& action, const std::string& part) {
  try {
    action();
    ADD_FAILURE() << "no error; expected one with: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

std::string random_bytes(std::mt19937& generator, int size) {
  // Mixed from pieces, so that valid and invalid UTF-8, white space and letters meet.
  const std::vector<std::string> pieces = {" ",
                                           "\n",
                                           "  ",
                                           "the",
                                           "'s",
                                           "\xc3\xa9",
                                           "\xe3\x80\x80",
                                           "\xf0\x9f\x98\x80",
                                           "\xff",
                                           "\xc3",
                                           "\xe3\x80",
                                           "\xed\xa0\x80",
                                           "\x80",
                                           "\xc0\xaf",
                                           "a",
                                           "7"};
  std::string text;
  while (static_cast<int>(text.size()) < size) {
    if (generator() % 4 == 0) {
      text.push_back(static_cast<char>(generator() & 0xff));
    } else {
      text += pieces[generator() % pieces.size()];
    }
  }
  return text;
}

TEST(Gpt2Tokenizer, GivesTheIdsOfTheReference) {
  Gpt2Tokenizer tokenizer = small_tokenizer();
  EXPECT_EQ(tokenizer.vocabulary_size(), 857);
  EXPECT_EQ(tokenizer.end_of_document(), 856);
  expect_golden(tokenizer, kGolden + "gpt2_small_tokens.json");
  expect_golden(tokenizer, kGolden + "gpt2_small_tokens.json");  // again, from the cache
}

TEST(Gpt2Tokenizer, GivesTheIdsOfThePublishedVocabulary) {
  const char* folder = std::getenv("COXSWAIN_GPT2_DIR");
  if (folder == nullptr) GTEST_SKIP() << "COXSWAIN_GPT2_DIR is not set: the published files are not in the repository";
  const std::string base = std::string(folder) + "/gpt2_";
  Gpt2Tokenizer tokenizer(base + "vocab.json", base + "merges.txt");
  EXPECT_EQ(tokenizer.vocabulary_size(), 50257);
  EXPECT_EQ(tokenizer.end_of_document(), 50256);
  EXPECT_THAT(tokenizer.encode("Hello world"), testing::ElementsAre(15496, 995));
  expect_golden(tokenizer, base + "tokens.json");
}

TEST(Gpt2Tokenizer, ReturnsEveryByte) {
  Gpt2Tokenizer tokenizer = small_tokenizer();
  std::mt19937 generator(1);
  for (int i = 0; i < 500; ++i) {
    const std::string text = random_bytes(generator, i);
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Gpt2Tokenizer, EndOfDocumentInATextIsOrdinaryText) {
  Gpt2Tokenizer tokenizer = small_tokenizer();
  EXPECT_THAT(tokenizer.encode("a<|endoftext|>b"), testing::Not(testing::Contains(tokenizer.end_of_document())));
  const std::vector<std::int32_t> end = {tokenizer.end_of_document()};
  EXPECT_EQ(tokenizer.decode(end), "<|endoftext|>");
}

// Words beyond 64 bytes are merged by the queue, shorter ones by search: both as published.
TEST(Gpt2Tokenizer, LongWordsMergeAsShortOnesDo) {
  Gpt2Tokenizer tokenizer = small_tokenizer();
  // No pair merges across the mark below, so a long word is many short ones put together.
  std::mt19937 generator(2);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    std::vector<std::int32_t> expected;
    for (int piece = 0; piece < 20; ++piece) {
      std::string word;
      for (unsigned letters = 1 + generator() % 12; letters > 0; --letters) {
        word.push_back("etaoinshr"[generator() % 9]);
      }
      const auto ids = tokenizer.encode(word);
      expected.insert(expected.end(), ids.begin(), ids.end());
      text += word + "\xc3\xaa";  // a letter that is in no merge: two single bytes
      for (const char byte : {'\xc3', '\xaa'}) {
        const auto one = tokenizer.encode(std::string_view(&byte, 1));
        expected.insert(expected.end(), one.begin(), one.end());
      }
    }
    ASSERT_GT(text.size(), 64u);
    ASSERT_EQ(tokenizer.encode(text), expected);
  }
}

// Wherever can_cut() says yes, the ids of the two parts are the ids of the whole.
TEST(Gpt2Tokenizer, CutsChangeNothing) {
  Gpt2Tokenizer tokenizer = small_tokenizer();
  std::mt19937 generator(3);
  int cuts = 0;
  for (int round = 0; round < 300; ++round) {
    const std::string text = random_bytes(generator, 60);
    const auto whole = tokenizer.encode(text);
    for (std::size_t place = 1; place < text.size(); ++place) {
      if (!tokenizer.can_cut(text, place)) continue;
      ++cuts;
      auto parts = tokenizer.encode(text.substr(0, place));
      tokenizer.encode(text.substr(place), parts);
      ASSERT_EQ(parts, whole) << "cut at " << place;
    }
  }
  EXPECT_GT(cuts, 500);
  EXPECT_TRUE(tokenizer.can_cut("a b", 1));
  EXPECT_FALSE(tokenizer.can_cut("a  b", 1));
  EXPECT_TRUE(tokenizer.can_cut("a  b", 2));
  EXPECT_FALSE(tokenizer.can_cut("ab", 1));
}

TEST(Gpt2Tokenizer, HashTellsVocabulariesApart) {
  TemporaryFolder folder;
  const Gpt2Tokenizer first = small_tokenizer();
  EXPECT_EQ(first.hash(), small_tokenizer().hash());
  EXPECT_EQ(first.hash().size(), 32u);
  std::string merges = read_file(kGolden + "gpt2_small_merges.txt");
  merges.resize(merges.rfind('\n', merges.size() - 2) + 1);  // without the last one
  std::ofstream(folder.file("merges.txt")) << merges;
  EXPECT_NE(first.hash(), Gpt2Tokenizer(kGolden + "gpt2_small_vocabulary.json", folder.file("merges.txt")).hash());
}

TEST(Gpt2Tokenizer, BadFilesAreNamed) {
  TemporaryFolder folder;
  const std::string vocabulary = kGolden + "gpt2_small_vocabulary.json", merges = kGolden + "gpt2_small_merges.txt";
  const auto with = [&](const std::string& text, bool as_merges) {
    const std::string path = folder.file("bad");
    std::ofstream(path, std::ios::binary) << text;
    return as_merges ? Gpt2Tokenizer(vocabulary, path) : Gpt2Tokenizer(path, merges);
  };
  expect_data_error([&] { Gpt2Tokenizer(folder.file("none.json"), merges); }, "none.json ([data] vocabulary_file)");
  expect_data_error([&] { Gpt2Tokenizer(vocabulary, folder.path()); }, "[data] merges_file");
  expect_data_error([&] { with("", false); }, "not a JSON object");
  expect_data_error([&] { with("[1, 2]", false); }, "not a JSON object");
  expect_data_error([&] { with(R"({"a": 0, "b": 7})", false); }, "number 7, allowed are 0 to 1");
  expect_data_error([&] { with(R"({"a": -1})", false); }, "number -1");
  expect_data_error([&] { with(R"({"a": 0, "b": 0})", false); }, "two tokens have number 0");
  expect_data_error([&] { with(R"({"a": 0, "<|endoftext|>": 1})", false); }, "lacks a token for byte 0x00");
  expect_data_error([&] { with("#version: 0.2\n", true); }, "no merges in it");
  expect_data_error([&] { with("#version: 0.2\nt h e\n", true); }, "bad:2: \"t h e\" is not two tokens");
  expect_data_error([&] { with("#version: 0.2\nt h\nq qqq\n", true); }, "bad:3: \"q qqq\" or one of its parts");
  expect_data_error([&] { with("#version: 0.2\nt h\nt h\n", true); }, "bad:3: \"t h\" is there twice");
  Gpt2Tokenizer tokenizer = small_tokenizer();
  const std::vector<std::int32_t> outside = {0, 857};
  expect_data_error([&] { tokenizer.decode(outside); }, "token 857 is outside the vocabulary, 0 to 856");
}

TEST(Utf8, KnowsWhatIsValid) {
  EXPECT_EQ(utf8_length("a", 0), 1);
  EXPECT_EQ(utf8_length("\xc3\xa9", 0), 2);
  EXPECT_EQ(utf8_length("\xe2\x82\xac", 0), 3);
  EXPECT_EQ(utf8_length("\xf4\x8f\xbf\xbf", 0), 4);
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
                          "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(utf8_length(bad, 0), 0) << bad;
  }
  EXPECT_EQ(utf8_length("a", 1), 0);
  for (const char32_t c : {U'\x7f', U'\x80', U'\x7ff', U'\x800', U'\xffff', U'\x10000', U'\x10ffff'}) {
    std::string text;
    append_utf8(text, c);
    EXPECT_EQ(utf8_length(text, 0), static_cast<int>(text.size()));
    EXPECT_EQ(utf8_code_point(text, 0), c);
  }
}

}  // namespace
}  // namespace coxswain
