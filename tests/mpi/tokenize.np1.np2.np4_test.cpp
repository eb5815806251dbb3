// Phase tokenize: the token files are the same bytes for any number of ranks, and an error on one rank is one of all.
#include "phases/tokenize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "base/error.h"
#include "io/token_file.h"
#include "mpi_test.h"

namespace coxswain {
namespace {

// One of all ranks: rank 0 makes and removes it.
class SharedFolder {
 public:
  SharedFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "coxswain_tokenize_XXXXXX").string();
    if (world().rank() == 0 && mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot create " + name);
    path_ = world().broadcast(name, 0, "folder");
  }
  ~SharedFolder() {
    world().barrier("folder");
    std::error_code ignored;
    if (world().rank() == 0) std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    if (world().rank() == 0) std::ofstream(file(name), std::ios::binary) << text;
    world().barrier("written");
    return file(name);
  }
  int files() const { return static_cast<int>(std::distance(std::filesystem::directory_iterator(path_), {})); }

 private:
  std::filesystem::path path_;
};

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

DataConfig config_of(TokenizerKind tokenizer, const std::string& input) {
  const std::string golden = std::string(COXSWAIN_SOURCE_DIR) + "/tests/golden/gpt2_small_";
  DataConfig config;
  config.tokenizer = tokenizer;
  config.vocabulary_file = golden + "vocabulary.json";
  config.merges_file = golden + "merges.txt";
  config.input = input;
  return config;
}

std::string run(const DataConfig& config, Communicator& group) {
  Tokenize phase(config, {}, group);
  std::int64_t tokens = 0;
  while (phase.step() < phase.total_steps()) tokens += phase.run_step().tokens;
  phase.finish();
  EXPECT_GT(tokens, 0);
  return phase.summary();
}

const std::string kShakespeare = std::string(COXSWAIN_SOURCE_DIR) + "/inputs/tiny/shakespeare.txt";

// All ranks together, then rank 0 alone.
TEST(Tokenize, TheFileIsTheSameForAnyNumberOfRanks) {
  const SharedFolder folder;
  const std::string lines = folder.write("lines.jsonl", "{\"text\": \"First.\"}\n{\"text\": \"Second \\u00e9.\"}\n");
  const std::unique_ptr<Communicator> alone = world().split(world().rank(), 0, "alone");
  for (const TokenizerKind tokenizer : {TokenizerKind::bytes, TokenizerKind::gpt2}) {
    DataConfig config = config_of(tokenizer, kShakespeare + ", " + lines);
    config.separator = tokenizer == TokenizerKind::bytes ? "\n\n" : "";
    config.validation_share = 0.1;
    config.output = folder.file("together.h5");
    config.validation = folder.file("together_validation.h5");
    const std::string summary = run(config, world());
    EXPECT_THAT(summary, testing::HasSubstr("2 files"));
    if (world().rank() == 0) {
      config.output = folder.file("alone.h5");
      config.validation = folder.file("alone_validation.h5");
      run(config, *alone);
      for (const char* end : {".h5", "_validation.h5"}) {
        EXPECT_EQ(bytes_of(folder.file(std::string("together") + end)),
                  bytes_of(folder.file(std::string("alone") + end)));
        TokenFile(folder.file(std::string("together") + end)).verify();
      }
      EXPECT_EQ(folder.files(), 5);  // the pieces are gone
    }
    world().barrier("compared");
  }
}

TEST(Tokenize, TheTokensAreThoseOfTheText) {
  const SharedFolder folder;
  DataConfig config = config_of(TokenizerKind::gpt2, kShakespeare);
  config.output = folder.file("new/folder/tokens.h5");
  run(config, world());
  const TokenFile file(config.output);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(file.header().tokens));
  file.read(0, ids);
  const auto tokenizer = make_tokenizer(config);
  EXPECT_EQ(file.header().tokenizer, "gpt2");
  EXPECT_EQ(file.header().tokenizer_hash, tokenizer->hash());
  EXPECT_EQ(file.header().documents, 1);
  std::vector<std::int32_t> expected = tokenizer->encode(bytes_of(kShakespeare));
  expected.push_back(tokenizer->end_of_document());
  EXPECT_TRUE(ids == expected);
}

TEST(Tokenize, TheLastDocumentsAreHeldOut) {
  const SharedFolder folder;
  std::string text;
  for (int i = 0; i < 100; ++i) text += "document " + std::to_string(100 + i) + "\n\n";
  DataConfig config = config_of(TokenizerKind::bytes, folder.write("a.txt", text));
  config.separator = "\n\n";
  config.output = folder.file("a.h5");
  config.validation = folder.file("b.h5");
  config.validation_share = 0.1;
  run(config, world());
  EXPECT_EQ(TokenFile(config.output).header().documents, 90);
  const TokenFile validation(config.validation);
  EXPECT_EQ(validation.header().documents, 10);
  std::vector<std::int32_t> ids(13);
  validation.read(0, ids);
  EXPECT_EQ(make_tokenizer(config)->decode(ids), "document 190<|endoftext|>");
  // One document has no border near the cut: it is cut inside, at the token.
  config.separator = "";
  run(config, world());
  const auto total = static_cast<std::int64_t>(text.size()) + 1;
  EXPECT_EQ(TokenFile(config.validation).header().tokens, (total + 5) / 10);
  EXPECT_EQ(TokenFile(config.output).header().tokens + TokenFile(config.validation).header().tokens, total);
}

TEST(Tokenize, ABadLineIsOneErrorOfAllRanksAndLeavesNothing) {
  const SharedFolder folder;
  std::string text;
  for (int i = 1; i <= 20000; ++i) text += i == 15000 ? "{\"text\": oops}\n" : "{\"text\": \"a line\"}\n";
  DataConfig config = config_of(TokenizerKind::bytes, folder.write("a.jsonl", text));
  config.output = folder.file("a.h5");
  try {
    run(config, world());
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_TRUE(error.everywhere());
    EXPECT_THAT(error.what(), testing::HasSubstr("a.jsonl:15000: no JSON"));
  }
  world().barrier("failed");
  EXPECT_EQ(folder.files(), 1);
}

TEST(Tokenize, BadSettingsAndInputsAreNamed) {
  const SharedFolder folder;
  const std::string text = folder.write("a.txt", "some text"), empty = folder.write("empty.txt", "");
  const std::string blank = folder.write("blank.jsonl", "\n\n");
  const auto message = [&](DataConfig config, ExitCode code) -> std::string {
    try {
      run(config, world());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_TRUE(error.everywhere());
      return error.what();
    }
    return "accepted";
  };
  using testing::HasSubstr;
  DataConfig config = config_of(TokenizerKind::bytes, text);
  EXPECT_THAT(message(config, ExitCode::usage), HasSubstr("[data] output is empty"));
  config.output = folder.file("a.h5");
  config.validation_share = 0.5;
  EXPECT_THAT(message(config, ExitCode::usage), HasSubstr("[data] validation is empty"));
  config.validation_share = 0;
  config.input = "";
  EXPECT_THAT(message(config, ExitCode::usage), HasSubstr("[data] input is empty"));
  config.input = folder.file("none.txt");
  EXPECT_THAT(message(config, ExitCode::data), HasSubstr("cannot read " + config.input));
  config.input = empty;
  EXPECT_THAT(message(config, ExitCode::data), HasSubstr("empty.txt ([data] input) is empty"));
  config.input = blank;
  EXPECT_THAT(message(config, ExitCode::data), HasSubstr("has no text in it"));
  config.input = text;
  config.output = text + "/a.h5";  // a file where a folder is wanted
  EXPECT_THAT(message(config, ExitCode::input_output), HasSubstr("cannot make the folder " + text));
}

}  // namespace
}  // namespace coxswain
