// What a run sees: each sample once an epoch, the same for any cut into batches, and the same after a restart.
#include "data/batch_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "memory_archive.h"
#include "temporary_folder.h"

namespace coxswain {
namespace {

constexpr int kLength = 8;

// Token i of the stream has id i, so a window tells its place.
std::string write_counting(const TemporaryFolder& folder, const std::string& name, int tokens, int first_id = 0) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens));
  for (int i = 0; i < tokens; ++i) ids[static_cast<std::size_t>(i)] = first_id + i;
  const TokenFileHeader header{
      .tokenizer = "test", .tokenizer_hash = "t", .vocabulary = 10000, .end_of_document = 9999};
  const std::vector<std::int64_t> ends = {tokens};
  write_token_file(folder.file(name), header, ids, ends);
  return folder.file(name);
}

BatchSource source_of(const std::string& list, std::uint64_t seed = 1, int length = kLength) {
  DataConfig config;
  config.source = list;
  return BatchSource(config, {.length = length, .vocabulary = 10000, .seed = seed});
}

std::vector<std::int32_t> first_tokens(const MicroBatch& batch) {
  std::vector<std::int32_t> firsts;
  for (int row = 0; row < batch.sequences; ++row) {
    firsts.push_back(batch.tokens[static_cast<std::size_t>(row) * static_cast<std::size_t>(batch.length)]);
  }
  return firsts;
}

TEST(BatchSource, EachWindowComesOnceAnEpochInAnotherOrder) {
  TemporaryFolder folder;
  const std::string path = write_counting(folder, "a.h5", 101 * kLength + 5);  // 101 windows and a rest
  BatchSource source = source_of(path);
  std::vector<std::vector<std::int32_t>> epochs;
  std::set<std::int32_t> every;
  for (int w = 0; w < 101; ++w) every.insert(w * kLength);
  for (int epoch = 0; epoch < 3; ++epoch) {
    epochs.push_back(first_tokens(source.micro_batch(source.consumed(), 101)));
    source.advance(101);
    EXPECT_EQ(std::set<std::int32_t>(epochs.back().begin(), epochs.back().end()), every);
    EXPECT_FALSE(std::is_sorted(epochs.back().begin(), epochs.back().end()));
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EXPECT_NE(epochs[1], epochs[2]);
  EXPECT_EQ(first_tokens(source_of(path).micro_batch(0, 101)), epochs[0]);
  EXPECT_NE(first_tokens(source_of(path, 2).micro_batch(0, 101)), epochs[0]);
}

TEST(BatchSource, UnshuffledSamplesComeInTheOrderOfTheFile) {
  TemporaryFolder folder;
  DataConfig config;
  config.source = write_counting(folder, "a.h5", 3 * kLength + 1);
  config.shuffle = false;
  BatchSource source(config, {.length = kLength, .vocabulary = 10000, .seed = 1});
  EXPECT_EQ(first_tokens(source.micro_batch(0, 5)), (std::vector<std::int32_t>{0, 8, 16, 0, 8}));
}

TEST(BatchSource, TargetsAreTheNextTokens) {
  TemporaryFolder folder;
  BatchSource source = source_of(write_counting(folder, "a.h5", 33));
  const MicroBatch batch = source.micro_batch(0, 4);
  ASSERT_EQ(batch.sequences, 4);
  ASSERT_EQ(batch.length, kLength);
  for (std::size_t i = 0; i < 4 * kLength; ++i) {
    EXPECT_EQ(batch.targets[i], batch.tokens[i] + 1);
    EXPECT_EQ(batch.weights[i], 1.0f);
    EXPECT_EQ(batch.positions[i], static_cast<std::int32_t>(i % kLength));
  }
  EXPECT_TRUE(batch.document_start.empty());
}

TEST(BatchSource, CutsIntoMicroBatchesAndRampsChangeNothing) {
  TemporaryFolder folder;
  const std::string list =
      write_counting(folder, "a.h5", 500) + ":0.7, " + write_counting(folder, "b.h5", 300, 1000) + ":0.3";
  BatchSource whole = source_of(list);
  const MicroBatch expected = whole.micro_batch(0, 200);
  BatchSource other = source_of(list);
  std::vector<std::int32_t> tokens;
  for (const int batch : {2, 4, 8, 16, 32, 32, 32, 32, 32, 10}) {  // a ramp
    std::vector<std::int32_t> halves[2];
    for (const int half : {1, 0}) {  // another rank asks first for the second half
      const MicroBatch micro = other.micro_batch(other.consumed() + half * batch / 2, batch / 2);
      halves[half] = micro.tokens;
    }
    for (const auto& half : halves) tokens.insert(tokens.end(), half.begin(), half.end());
    other.advance(batch);
  }
  EXPECT_EQ(tokens, expected.tokens);
  const auto from_b = std::count_if(tokens.begin(), tokens.end(), [](std::int32_t id) { return id >= 1000; });
  EXPECT_EQ(from_b, 60 * kLength);
}

TEST(BatchSource, GoesOnAfterARestart) {
  TemporaryFolder folder;
  const std::string list =
      write_counting(folder, "a.h5", 500) + ":3, " + write_counting(folder, "b.h5", 100, 1000) + ":1";
  BatchSource whole = source_of(list);
  const MicroBatch expected = whole.micro_batch(0, 150);
  BatchSource killed = source_of(list);
  killed.micro_batch(0, 10);
  killed.advance(57);
  MemoryArchive written;
  killed.visit(written);
  BatchSource resumed = source_of(list);
  MemoryArchive archive = MemoryArchive::reader(written);
  resumed.visit(archive);
  EXPECT_EQ(resumed.consumed(), 57);
  const MicroBatch rest = resumed.micro_batch(57, 93);
  EXPECT_TRUE(std::equal(rest.tokens.begin(), rest.tokens.end(), expected.tokens.begin() + 57 * kLength));
}

TEST(BatchSource, RefusesToGoOnWithOtherData) {
  TemporaryFolder folder;
  const std::string path = write_counting(folder, "a.h5", 500);
  MemoryArchive written;
  source_of(path).visit(written);
  const auto message = [&](BatchSource source) -> std::string {
    MemoryArchive archive = MemoryArchive::reader(written);
    try {
      source.visit(archive);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::data);
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message(source_of(path)), "accepted");
  EXPECT_THAT(message(source_of(path, 1, 16)), testing::HasSubstr("[batch] length = 8, now it is 16"));
  EXPECT_THAT(message(source_of(path + "," + path)), testing::HasSubstr("[data] sources of 1, now it is 2"));
  write_counting(folder, "a.h5", 500, 1);
  EXPECT_THAT(message(source_of(path)), testing::HasSubstr("source 1 (" + path + ") of contents"));
}

TEST(BatchSource, DocumentMaskRestartsPositions) {
  TemporaryFolder folder;
  // Two windows of 8: | 1 2 E 3 E 4 5 6 | 7 8 9 E E 1 2 3 | 4
  const std::int32_t e = 99;
  const std::vector<std::int32_t> ids = {1, 2, e, 3, e, 4, 5, 6, 7, 8, 9, e, e, 1, 2, 3, 4};
  const std::vector<std::int64_t> ends = {3, 5, 12, 13, 17};
  write_token_file(folder.file("a.h5"),
                   {.tokenizer = "test", .tokenizer_hash = "t", .vocabulary = 100, .end_of_document = e}, ids, ends);
  DataConfig config;
  config.validation = folder.file("a.h5");
  config.document_mask = true;
  const ValidationSource validation(config, kLength, 100);
  ASSERT_EQ(validation.samples(), 2);
  const MicroBatch batch = validation.micro_batch(0, 3);
  EXPECT_THAT(batch.tokens,
              testing::ElementsAre(1, 2, e, 3, e, 4, 5, 6, 7, 8, 9, e, e, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(batch.targets,
              testing::ElementsAre(2, e, 3, e, 4, 5, 6, 7, 8, 9, e, e, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(batch.document_start,
              testing::ElementsAre(0, 0, 0, 3, 3, 5, 5, 5, 0, 0, 0, 0, 4, 5, 5, 5, 0, 0, 0, 0, 0, 0, 0, 0));
  EXPECT_THAT(batch.positions,
              testing::ElementsAre(0, 1, 2, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7));
  for (std::size_t i = 0; i < batch.weights.size(); ++i) EXPECT_EQ(batch.weights[i], i < 16 ? 1.0f : 0.0f);
  config.source = config.validation;
  BatchSource source(config, {.length = kLength, .vocabulary = 100, .seed = 1});
  const MicroBatch training = source.micro_batch(0, 2);
  const bool swapped = training.tokens[0] != 1;
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(training.positions[i], batch.positions[swapped ? (i + 8) % 16 : i]);
}

TEST(BatchSource, SyntheticTokensDependOnSeedAndSampleAlone) {
  BatchSource source = source_of("synthetic");
  const MicroBatch batch = source.micro_batch(0, 64);
  EXPECT_GE(*std::min_element(batch.tokens.begin(), batch.tokens.end()), 0);
  EXPECT_LT(*std::max_element(batch.tokens.begin(), batch.tokens.end()), 10000);
  EXPECT_GT(std::set<std::int32_t>(batch.tokens.begin(), batch.tokens.end()).size(), 400u);
  EXPECT_EQ(batch.targets[0], batch.tokens[1]);
  source.advance(10);
  const MicroBatch later = source.micro_batch(10, 5);
  EXPECT_TRUE(std::equal(later.tokens.begin(), later.tokens.end(), batch.tokens.begin() + 10 * kLength));
  EXPECT_NE(source_of("synthetic", 2).micro_batch(0, 64).tokens, batch.tokens);
}

TEST(BatchSource, BadFilesAreRefused) {
  TemporaryFolder folder;
  const auto message = [&](const std::string& list, int vocabulary) -> std::string {
    DataConfig config;
    config.source = list;
    try {
      BatchSource(config, {.length = kLength, .vocabulary = vocabulary, .seed = 1});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), list.empty() ? ExitCode::usage : ExitCode::data) << error.what();
      return error.what();
    }
    return "accepted";
  };
  const std::string small = write_counting(folder, "small.h5", kLength), good = write_counting(folder, "good.h5", 9);
  EXPECT_EQ(message(good, 10000), "accepted");
  EXPECT_THAT(message(small, 10000), testing::HasSubstr("has 8 tokens; one sample of [batch] length = 8 needs 9"));
  EXPECT_THAT(message(good, 257), testing::HasSubstr("[model] vocabulary = 257 is too small: make it 10000"));
  EXPECT_THAT(message(folder.file("none.h5"), 257), testing::HasSubstr("cannot read"));
  EXPECT_THAT(message("", 257), testing::HasSubstr("[data] source is empty"));
  const std::vector<std::int32_t> ids(20, 1);
  const std::vector<std::int64_t> ends = {20};
  write_token_file(folder.file("other.h5"),
                   {.tokenizer = "bytes", .tokenizer_hash = "b", .vocabulary = 257, .end_of_document = 256}, ids, ends);
  EXPECT_THAT(message(good + "," + folder.file("other.h5"), 10000), testing::HasSubstr("different tokenizers"));
}

}  // namespace
}  // namespace coxswain
