// Token files: what is written is read; every damaged file is one clear error.
#include "io/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <numeric>
#include <thread>

#include "temporary_folder.h"

namespace coxswain {
namespace {

TokenFileHeader header_of(int vocabulary) {
  return {
      .tokenizer = "bytes", .tokenizer_hash = "bytes-257", .vocabulary = vocabulary, .end_of_document = vocabulary - 1};
}

std::vector<std::int32_t> counting(int tokens, int vocabulary) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens));
  for (std::size_t i = 0; i < ids.size(); ++i)
    ids[i] = static_cast<std::int32_t>((i * 7919) % static_cast<std::size_t>(vocabulary));
  return ids;
}

void write(const std::string& path, const std::vector<std::int32_t>& ids, int vocabulary = 257,
           std::vector<std::int64_t> ends = {}) {
  if (ends.empty()) ends = {static_cast<std::int64_t>(ids.size()) / 2, static_cast<std::int64_t>(ids.size())};
  write_token_file(path, header_of(vocabulary), ids, ends);
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void put_bytes(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

template <class Action>
void expect_data_error(const Action& action, const std::vector<std::string>& parts) {
  try {
    action();
    ADD_FAILURE() << "no error; expected one with: " << parts[0];
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data) << error.what();
    for (const std::string& part : parts) EXPECT_THAT(error.what(), testing::HasSubstr(part));
  }
}

TEST(TokenFile, ReadsWhatWasWritten) {
  TemporaryFolder folder;
  for (const int vocabulary : {257, 65536, 65537, 200000}) {
    const std::string path = folder.file("tokens.h5");
    const auto ids = counting(5000, vocabulary);
    write(path, ids, vocabulary, {10, 11, 4000, 5000});
    const TokenFile file(path);
    EXPECT_EQ(file.header().tokens, 5000);
    EXPECT_EQ(file.header().documents, 4);
    EXPECT_EQ(file.header().vocabulary, vocabulary);
    EXPECT_EQ(file.header().end_of_document, vocabulary - 1);
    EXPECT_EQ(file.header().tokenizer, "bytes");
    EXPECT_EQ(file.header().tokenizer_hash, "bytes-257");
    EXPECT_EQ(file.content_hash().size(), 32u);
    for (const auto& [first, count] :
         std::vector<std::pair<int, int>>{{0, 5000}, {0, 1}, {4999, 1}, {17, 129}, {5, 0}}) {
      std::vector<std::int32_t> out(static_cast<std::size_t>(count));
      file.read(first, out);
      EXPECT_TRUE(std::equal(out.begin(), out.end(), ids.begin() + first));
    }
    EXPECT_THAT(file.document_offsets(0, 5), testing::ElementsAre(0, 10, 11, 4000, 5000));
    EXPECT_THAT(file.document_offsets(3, 1), testing::ElementsAre(4000));
    file.verify();
  }
}

TEST(TokenFile, TheSameContentsAreTheSameBytesAtAnyTime) {
  TemporaryFolder folder;
  write(folder.file("first.h5"), counting(100, 257));
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));  // HDF5's times of objects are in seconds
  write(folder.file("second.h5"), counting(100, 257));
  EXPECT_EQ(bytes_of(folder.file("first.h5")), bytes_of(folder.file("second.h5")));
}

TEST(TokenFile, HasItsNameOnlyWhenWhole) {
  TemporaryFolder folder;
  const std::string path = folder.file("tokens.h5");
  TokenFileHeader header = header_of(257);
  header.tokens = 4, header.documents = 1;
  {
    TokenFileWriter writer(path, header);
    std::vector<std::byte> stored;
    store_tokens(std::vector<std::int32_t>{1, 2, 3}, 257, stored);
    writer.append_tokens(stored);
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_THROW(writer.commit(), Error);  // a token and the document's end are missing
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(TokenFile, MissingEmptyOrForeignFilesAreNamed) {
  TemporaryFolder folder;
  const std::string path = folder.file("tokens.h5");
  expect_data_error([&] { TokenFile{path}; }, {"cannot read " + path, "No such file"});
  expect_data_error([&] { TokenFile{folder.path()}; }, {"cannot read", "directory"});
  put_bytes(path, "");
  expect_data_error([&] { TokenFile{path}; }, {path + " is empty", "phase = tokenize"});
  put_bytes(path, "First Citizen:\nBefore we proceed any further, hear me speak.\n");
  expect_data_error([&] { TokenFile{path}; }, {path, "HDF5"});
  {
    hdf5::File other = hdf5::File::create(path);
    other.create_dataset("/tokens", hdf5::Element::f32, {4});
    other.close();
  }
  expect_data_error([&] { TokenFile{path}; }, {path, "no attribute version", "phase = tokenize"});
}

TEST(TokenFile, EveryCutIsFound) {
  TemporaryFolder folder;
  const std::string path = folder.file("tokens.h5");
  write(path, counting(40000, 257));
  const std::string whole = bytes_of(path);
  for (std::size_t size = 0; size < whole.size(); size += 997) {
    put_bytes(path, whole.substr(0, size));
    expect_data_error([&] { TokenFile{path}; }, {path});
  }
  put_bytes(path, whole.substr(0, whole.size() - 1));
  expect_data_error([&] { TokenFile{path}; }, {path});
}

TEST(TokenFile, IdsOutsideTheVocabularyAreNamed) {
  TemporaryFolder folder;
  const std::string path = folder.file("tokens.h5");
  auto ids = counting(1000, 257);
  ids[321] = 300;
  write(path, ids);
  const TokenFile file(path);
  std::vector<std::int32_t> out(100);
  file.read(200, out);
  expect_data_error([&] { file.read(250, out); }, {path, "token 321 has id 300", "0 to 256"});
  expect_data_error([&] { file.verify(); }, {path, "token 321 has id 300"});
  ids[321] = -5;
  write(path, ids, 70000);
  expect_data_error([&] { TokenFile(path).read(250, out); }, {"token 321 has id -5", "0 to 69999"});
}

TEST(TokenFile, BrokenOffsetsAreNamed) {
  TemporaryFolder folder;
  const std::string path = folder.file("tokens.h5");
  const auto ids = counting(100, 257);
  write(path, ids, 257, {50, 40, 100});
  expect_data_error([&] { TokenFile{path}; }, {path, "/document_offsets[2] = 40", "51 and 100"});
  write(path, ids, 257, {50, 50, 100});
  expect_data_error([&] { TokenFile{path}; }, {"/document_offsets[2] = 50"});
  write(path, ids, 257, {50, 99});
  expect_data_error([&] { TokenFile{path}; }, {"from 0 to 99", "number of tokens, 100"});
}

TEST(TokenFile, OneChangedByteIsFoundByVerify) {
  TemporaryFolder folder;
  const std::string path = folder.file("tokens.h5");
  write(path, std::vector<std::int32_t>(30000, 65));
  std::string bytes = bytes_of(path);
  const std::size_t place = bytes.find(std::string("A\0A\0A\0A\0", 8));
  ASSERT_NE(place, std::string::npos);
  bytes[place + 20000] = 'B';
  put_bytes(path, bytes);
  const TokenFile file(path);  // a change inside the ids is too dear to look for at each start
  expect_data_error([&] { file.verify(); }, {path, "hash"});
}

TEST(TokenFile, UnknownVersionIsRefused) {
  TemporaryFolder folder;
  const std::string path = folder.file("tokens.h5");
  hdf5::File file = hdf5::File::create(path);
  file.set_attribute("/", "version", std::int64_t{2});
  for (const char* name : {"tokenizer", "tokenizer_hash", "content_hash"})
    file.set_attribute("/", name, std::string("x"));
  for (const char* name : {"vocabulary", "end_of_document"}) file.set_attribute("/", name, std::int64_t{1});
  file.close();
  expect_data_error([&] { TokenFile{path}; }, {path, "version 2 is not known, 1 is"});
}

}  // namespace
}  // namespace coxswain
