// Bytes at places of a file: what is written is read back, and every failure has its code and names the path.
#include "io/disk_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>

#include "io/append_file.h"
#include "temporary_folder.h"

namespace coxswain {

namespace {

using testing::AllOf;
using testing::HasSubstr;

// The code, a space and the message that the body ends with; "0" if it ends well.
template <class Body>
std::string outcome(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return std::to_string(static_cast<int>(error.code())) + ' ' + error.what();
  }
  return "0";
}

TEST(DiskFile, WritesAtPlacesAndReadsBack) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a");
  DiskFile file = DiskFile::create(path);
  const std::array<char, 4> text = {'a', 'b', 'c', 'd'};
  file.reserve(6);
  file.write(2, std::as_bytes(std::span(text)));
  file.send(2, 4);
  file.sync();
  std::array<std::byte, 3> found{};
  DiskFile::modify(path).read(3, found);
  EXPECT_EQ(found, (std::array{std::byte{'b'}, std::byte{'c'}, std::byte{'d'}}));
  EXPECT_EQ(file.size(), 6);
  DiskFile other = std::move(file);
  EXPECT_EQ(other.path(), path);
  other.close();
  EXPECT_EQ(read_regular_file(path, 6), std::string("\0\0abcd", 6));
  const FileHash hash = hash_file(path);
  EXPECT_EQ(hash.bytes, 6);
  commit_file(path, folder.file("b"));
  EXPECT_EQ(hash, hash_file(folder.file("b")));
  EXPECT_FALSE(std::filesystem::exists(path));
}

// A file that a user gave is bad data; one that the program is writing is bad output.
TEST(DiskFile, TheEndOfTheFileHasTheCodeOfItsUse) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a");
  replace_text_file(path, "0123456789");
  std::array<std::byte, 8> bytes{};
  for (const auto& [file, code] : {std::pair(&DiskFile::open, "65"), std::pair(&DiskFile::modify, "74")})
    EXPECT_THAT(outcome([&] { file(path).read(4, bytes); }),
                AllOf(testing::StartsWith(code), HasSubstr(path), HasSubstr("byte 10"), HasSubstr("2 bytes before")));
}

TEST(DiskFile, RefusesWhatIsNoFile) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a"), link = folder.file("link");
  replace_text_file(path, "text");
  std::filesystem::create_symlink(path, link);
  EXPECT_THAT(outcome([&] { DiskFile::open(folder.file("nothing")); }),
              AllOf(testing::StartsWith("65"), HasSubstr("nothing"), HasSubstr("No such file")));
  EXPECT_THAT(outcome([&] { DiskFile::open(folder.path()); }), testing::StartsWith("65"));
  EXPECT_EQ(outcome([&] { DiskFile::open(link); }), "0");
  for (const std::string& bad : {link, std::string("/dev/zero"), folder.path().string(), folder.file("nothing")}) {
    EXPECT_THAT(outcome([&] { hash_file(bad); }), AllOf(testing::StartsWith("74"), HasSubstr(bad)));
    EXPECT_THAT(outcome([&] { read_regular_file(bad, 100); }), AllOf(testing::StartsWith("74"), HasSubstr(bad)));
  }
  EXPECT_THAT(outcome([&] { read_regular_file(path, 3); }), HasSubstr("4 bytes; at most 3"));
  EXPECT_THAT(outcome([&] { make_folder(path); }), AllOf(testing::StartsWith("74"), HasSubstr("run.directory")));
}

TEST(DiskFile, AFullDiskSaysHowMuchIsNeeded) {
  std::vector<std::byte> bytes(5000);
  EXPECT_THAT(outcome([&] { DiskFile::modify("/dev/full").write(0, bytes); }),
              AllOf(testing::StartsWith("74"), HasSubstr("/dev/full"), HasSubstr("5000 bytes are needed")));
}

}  // namespace

}  // namespace coxswain
