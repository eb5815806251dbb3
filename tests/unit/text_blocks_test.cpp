// Blocks of text: the ids do not depend on where the blocks begin; documents, separators, JSONL and its bad lines.
#include "data/text_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "base/error.h"
#include "data/byte_tokenizer.h"
#include "data/gpt2_tokenizer.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

std::string write(const TemporaryFolder& folder, const std::string& name, const std::string& text) {
  std::ofstream(folder.file(name), std::ios::binary) << text;
  return folder.file(name);
}

EncodedBlock encode_all(const TextBlocks& blocks, Tokenizer& tokenizer) {
  EncodedBlock all;
  for (std::int64_t block = 0; block < blocks.blocks(); ++block) {
    const EncodedBlock one = blocks.encode(block, tokenizer);
    for (const std::int64_t end : one.document_ends) {
      all.document_ends.push_back(static_cast<std::int64_t>(all.tokens.size()) + end);
    }
    all.tokens.insert(all.tokens.end(), one.tokens.begin(), one.tokens.end());
    all.bytes += one.bytes;
    all.left_out.insert(all.left_out.end(), one.left_out.begin(), one.left_out.end());
  }
  EXPECT_EQ(all.bytes, blocks.bytes());
  return all;
}

// "[ab][c]": each document in brackets.
std::string documents_of(const EncodedBlock& all, const Tokenizer& tokenizer) {
  std::string text;
  std::int64_t start = 0;
  for (const std::int64_t end : all.document_ends) {
    EXPECT_EQ(all.tokens[static_cast<std::size_t>(end) - 1], tokenizer.end_of_document());
    text += '[' + tokenizer.decode({all.tokens.data() + start, static_cast<std::size_t>(end - start - 1)}) + ']';
    start = end;
  }
  EXPECT_EQ(start, static_cast<std::int64_t>(all.tokens.size()));
  return text;
}

std::string documents(const std::vector<std::string>& paths, const TextBlocks::Options& options) {
  ByteTokenizer tokenizer;
  return documents_of(encode_all(TextBlocks(paths, options), tokenizer), tokenizer);
}

TEST(TextBlocks, AFileIsADocumentWithoutASeparator) {
  TemporaryFolder folder;
  const std::string a = write(folder, "a.txt", "one\n\ntwo\n"), b = write(folder, "b.txt", "\xff\x00three");
  EXPECT_EQ(documents({a, b}, {}), "[one\n\ntwo\n][\xff]");  // the literal ends at its zero byte
}

TEST(TextBlocks, SeparatorsEndDocumentsAndEmptyOnesAreLeftOut) {
  TemporaryFolder folder;
  const std::string path = write(folder, "a.txt", "--a--bc----d---e--");
  for (std::int64_t bytes = 1; bytes < 20; ++bytes) {
    EXPECT_EQ(documents({path}, {.separator = "--", .block_bytes = bytes}), "[a][bc][d][-e]") << bytes;
  }
}

TEST(TextBlocks, BlocksOfAnySizeGiveTheSameIds) {
  TemporaryFolder folder;
  const std::string golden = std::string(COXSWAIN_SOURCE_DIR) + "/tests/golden/gpt2_small_";
  ByteTokenizer bytes;
  Gpt2Tokenizer gpt2(golden + "vocabulary.json", golden + "merges.txt");
  const std::vector<std::string> pieces = {"the ",     "\n",   "\n\n",         " ", "o'er",
                                           "\xc3\xa9", "\xff", "\xe3\x80\x80", "x", "=="};
  std::mt19937 generator(5);
  for (int round = 0; round < 60; ++round) {
    std::string text;
    for (int i = 0; i < 80; ++i) text += pieces[generator() % pieces.size()];
    const std::string path = write(folder, "a.txt", text);
    for (const char* separator : {"", "\n\n", "==", "\n"}) {
      for (Tokenizer* tokenizer : {static_cast<Tokenizer*>(&bytes), static_cast<Tokenizer*>(&gpt2)}) {
        const auto whole = encode_all(TextBlocks({path}, {.separator = separator, .block_bytes = 1 << 20}), *tokenizer);
        for (const std::int64_t size : {1, 7, 32, 100}) {
          const auto cut = encode_all(TextBlocks({path}, {.separator = separator, .block_bytes = size}), *tokenizer);
          ASSERT_EQ(cut.tokens, whole.tokens) << "separator '" << separator << "', blocks of " << size;
          ASSERT_EQ(cut.document_ends, whole.document_ends);
        }
      }
    }
  }
}

TEST(TextBlocks, JsonLinesAreDocuments) {
  TemporaryFolder folder;
  const std::string text =
      "{\"text\": \"one\\n\\u00e9\", \"id\": 1}\n\n  \r\n{\"id\": 2, \"text\": \"\"}\n{\"text\":\"two\"}";
  const std::string path = write(folder, "a.jsonl", text), more = write(folder, "b.jsonl", "{\"text\": \"three\"}\n");
  for (const std::int64_t bytes : {1, 10, 33, 34, 1000}) {
    EXPECT_EQ(documents({path, more}, {.block_bytes = bytes}), "[one\n\xc3\xa9][two][three]") << bytes;
  }
  EXPECT_EQ(documents({folder.file("*.jsonl")}, {}), "[one\n\xc3\xa9][two][three]");
}

TEST(TextBlocks, ElementsOfAnArrayAreDocuments) {
  TemporaryFolder folder;
  const std::string path = write(folder, "a.json",
                                 "\xef\xbb\xbf [\n {\"text\": \"one, [x]\"},\n {\"text\": \"\"},\n\n  {\n   "
                                 "\"text\": \"two\"\n  }\n]\n");
  const std::string lines = write(folder, "b.json", "{\"text\": \"three\"}\n{\"text\": \"four\"}\n");
  for (const std::int64_t bytes : {1, 5, 20, 30, 1000})
    EXPECT_EQ(documents({path, lines}, {.block_bytes = bytes}), "[one, [x]][two][three][four]") << bytes;
  EXPECT_EQ(documents({write(folder, "c.jsonl", "[{\"instruction\": \"i\", \"input\": \"k\", \"output\": \"l\"}]")},
                      {.json_key = "", .chat = without_markers()}),
            "[i\n\nkl]");
  EXPECT_EQ(documents({write(folder, "d.txt", "[x]")}, {}), "[[x]]");
}

TEST(TextBlocks, AByteOrderMarkIsNoText) {
  TemporaryFolder folder;
  for (const std::int64_t bytes : {1, 4, 1000}) {
    EXPECT_EQ(documents({write(folder, "a.txt", "\xef\xbb\xbfone--two")}, {.separator = "--", .block_bytes = bytes}),
              "[one][two]");
    EXPECT_EQ(documents({write(folder, "a.jsonl", "\xef\xbb\xbf{\"text\": \"one\"}\n")}, {.block_bytes = bytes}),
              "[one]");
  }
}

// The same report for any number of ranks, whoever has which block.
TEST(TextBlocks, BadLinesAreLeftOutAndCounted) {
  TemporaryFolder folder;
  std::string text = "{\"prompt\": \"p\", \"response\": \" \"}\n";
  for (int i = 0; i < 7; ++i) text += "{\"prompt\": 3}\n\n{\"prompt\": \"a\", \"response\": \"b\"}\n";
  const std::string lines = write(folder, "a.jsonl", text);
  const std::string array =
      write(folder, "b.json", "[{\"prompt\": \"p\",\n \"response\": \"r\"},\n {\"promt\": 1},\n {");
  ByteTokenizer tokenizer;
  for (const std::int64_t bytes : {1, 50, 1000}) {
    const TextBlocks blocks(
        {lines, array},
        {.json_key = "", .chat = without_markers(), .on_bad_line = BadLine::skip, .block_bytes = bytes});
    EXPECT_EQ(documents_of(encode_all(blocks, tokenizer), tokenizer), "[ab][ab][ab][ab][ab][ab][ab][pr]");
    for (const std::int64_t ranks : {1, 3}) {
      std::vector<LeftOutLines> parts(static_cast<std::size_t>(ranks));
      for (std::int64_t block = 0; block < blocks.blocks(); ++block)
        parts[static_cast<std::size_t>(block % ranks)].add(blocks.encode(block, tokenizer).left_out);
      std::vector<std::string> tables;
      for (const LeftOutLines& part : parts) tables.push_back(part.table());
      const DropReport report = join(tables, blocks);
      ASSERT_EQ(report.entries().size(), 2u);
      const auto& [bad, silent] = std::tie(report.entries()[0], report.entries()[1]);
      EXPECT_EQ(bad.reason, "bad line");
      EXPECT_EQ(bad.count, 10);  // the end that is missing is one
      std::vector<std::string> first;
      for (const std::string& example : bad.examples) first.push_back(example.substr(0, example.find(" (")));
      EXPECT_THAT(first, testing::ElementsAre(lines + ":2", lines + ":5", lines + ":8", lines + ":11", lines + ":14"));
      EXPECT_THAT(bad.examples[0], testing::HasSubstr("(\"prompt\" is a JSON number"));
      EXPECT_EQ(silent.reason, "empty response");
      EXPECT_THAT(silent.examples, testing::ElementsAre(lines + ":1"));
      EXPECT_THAT(left_out_text(report), testing::HasSubstr("\n11 records left out:\n"));
    }
  }
  EXPECT_EQ(left_out_text(join({LeftOutLines().table()}, TextBlocks({lines}, {}))), "");
}

// Records show what a model will see of them: markers and the stop as [chat] says, tokenized apart from the texts.
TEST(TextBlocks, RecordsAreConversationsInTheChatFormat) {
  TemporaryFolder folder;
  const std::string path = write(folder, "records.jsonl",
                                 "{\"chosen\": \"\\n\\nHuman: a\\n\\nAssistant: b\\n\\nHuman: c\\n\\nAssistant: d\", "
                                 "\"rejected\": \"\\n\\nHuman: a\\n\\nAssistant: b\\n\\nHuman: c\\n\\nAssistant: e\"}\n"
                                 "{\"prompt\": \"f\", \"responses\": [\"g\", \"h\"], \"ranks\": [2, 1]}\n"
                                 "{\"instruction\": \"i\", \"instances\": [{\"input\": \"\", \"output\": \"j\"}, "
                                 "{\"input\": \"k\", \"output\": \"l\"}]}\n");
  ChatConfig chat;
  chat.user_prefix = "Q:";
  chat.assistant_prefix = "A:";
  EXPECT_EQ(documents({path}, {.json_key = "", .chat = chat}),
            "[Q:aA: b<|endoftext|>Q:cA: d][Q:fA: h][Q:iA: j][Q:i\n\nkA: l]");
  chat.stop = "#";
  EXPECT_EQ(documents({path}, {.json_key = "", .chat = chat}).substr(0, 20), "[Q:aA: b#Q:cA: d#][Q");
  Gpt2Tokenizer tokenizer(std::string(COXSWAIN_SOURCE_DIR) + "/tests/golden/gpt2_small_vocabulary.json",
                          std::string(COXSWAIN_SOURCE_DIR) + "/tests/golden/gpt2_small_merges.txt");
  const ChatFormat format({}, tokenizer);
  const EncodedBlock all = encode_all(TextBlocks({path}, {.json_key = ""}), tokenizer);
  const std::vector<std::int32_t> first = format.encode_prompt({{Role::user, "a"}});
  EXPECT_TRUE(std::equal(first.begin(), first.end(), all.tokens.begin()));
  EXPECT_EQ(all.document_ends.size(), 4u);
}

TEST(TextBlocks, BadInputIsNamed) {
  TemporaryFolder folder;
  const auto message = [&](const std::string& path, const std::string& key) -> std::string {
    try {
      documents({path}, {.json_key = key, .block_bytes = 16});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      return error.what();
    }
    return "accepted";
  };
  const auto line = [&](const std::string& third) {
    return write(folder, "bad.jsonl",
                 "{\"text\": \"one\"}\n{\"text\": \"two\"}\n" + third + "\n{\"text\": \"four\"}\n");
  };
  using testing::HasSubstr;
  EXPECT_THAT(message(line("{\"text\": \"three\""), "text"), HasSubstr("bad.jsonl:3: no JSON: "));
  EXPECT_THAT(message(line("{\"text\": \"\xff\"}"), "text"), HasSubstr("bad.jsonl:3: no JSON: "));
  EXPECT_THAT(message(line("[1, 2]"), "text"), HasSubstr("bad.jsonl:3: a JSON array, an object is wanted"));
  EXPECT_THAT(message(line("{\"body\": 1, \"id\": 2}"), "text"),
              HasSubstr("bad.jsonl:3: no key \"text\" ([data] json_key); the line has body, id"));
  EXPECT_THAT(message(line("{\"text\": 3}"), "text"),
              HasSubstr("bad.jsonl:3: \"text\" is a number, a string is wanted"));
  EXPECT_THAT(message(write(folder, "no_response.jsonl", "{\"prompt\": \"p\"}"), ""),
              HasSubstr("no_response.jsonl:1: no \"response\""));
  EXPECT_THAT(message(line("{\"text\": 3}"), "text"), HasSubstr("with [data] on_bad_line = skip"));
  EXPECT_THAT(message(write(folder, "array.json", "[\n{\"text\": \"a\"},\n{\"text\": 3}]"), "text"),
              HasSubstr("array.json:3: \"text\" is a number"));
  EXPECT_THAT(message(folder.file("none.txt"), "text"), HasSubstr("cannot read " + folder.file("none.txt")));
  EXPECT_THAT(message(folder.file("*.none"), "text"), HasSubstr("no file matches"));
  EXPECT_THAT(message(write(folder, "empty.txt", ""), "text"), HasSubstr("empty.txt ([data] input) is empty"));
  EXPECT_THAT(message(folder.path(), "text"), HasSubstr("cannot read"));
  for (const char* packed : {"\x1f\x8b..", "\x28\xb5\x2f\xfd", "PK\x03\x04", "PAR1", "\x89HDF\r\n"})
    for (const char* name : {"a.txt", "a.jsonl", "a.jsonl.gz", "a.json"})
      EXPECT_THAT(message(write(folder, name, packed), "text"), HasSubstr("is compressed or binary: unpack it"));
  EXPECT_THAT(message(write(folder, "wide.txt",
                            "\xff\xfe"
                            "a"),
                      "text"),
              HasSubstr("is UTF-16: write it as UTF-8"));
}

TEST(TextBlocks, ASeparatorThatEndsOfLinesHideIsRefused) {
  TemporaryFolder folder;
  const std::string path = write(folder, "a.txt", "one\r\n\r\ntwo\r\n");
  try {
    documents({path}, {.separator = "\n\n"});
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_THAT(error.what(), testing::HasSubstr("separator = \\n\\n is not found; use \\x0d\\n\\x0d\\n"));
  }
  EXPECT_EQ(documents({path}, {.separator = "\r\n\r\n"}), "[one][two\r\n]");
  EXPECT_EQ(documents({path}, {.separator = "\n"}), "[one\r][\r][two\r]");
  EXPECT_EQ(documents({write(folder, "b.txt", "one\r\ntwo")}, {.separator = "\n\n"}), "[one\r\ntwo]");
}

TEST(ByteTokenizer, IsTheBytes) {
  ByteTokenizer tokenizer;
  std::string text;
  for (int i = 0; i < 256; ++i) text.push_back(static_cast<char>(i));
  const auto ids = tokenizer.encode(text);
  for (int i = 0; i < 256; ++i) EXPECT_EQ(ids[static_cast<std::size_t>(i)], i);
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_EQ(tokenizer.vocabulary_size(), 257);
  const std::vector<std::int32_t> end = {65, 256}, outside = {257};
  EXPECT_EQ(tokenizer.decode(end), "A<|endoftext|>");
  EXPECT_THROW(tokenizer.decode(outside), Error);
}

}  // namespace
}  // namespace coxswain
