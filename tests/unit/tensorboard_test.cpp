// The event file byte by byte: the values of CRC-32C are those of RFC 3720 (B.4), the events are encoded by hand after
// TensorFlow's event.proto and summary.proto.
#include "io/tensorboard.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "temporary_folder.h"

namespace coxswain {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text += static_cast<char>(value);
  return text;
}

TEST(TensorBoard, CrcOfKnownTexts) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(""), 0u);
  // 0xE3069283 rotated right by 15 is 0x2507C60D; plus 0xA282EAD8.
  EXPECT_EQ(masked_crc32c("123456789"), 0x2507C60Du + 0xA282EAD8u);
}

TEST(TensorBoard, RecordHoldsLengthEventAndBothSums) {
  const std::string record = tensorboard_record("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), bytes({3, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(record.substr(12, 3), "abc");
  const std::uint32_t sum = masked_crc32c("abc");
  EXPECT_EQ(record.substr(15), bytes({static_cast<int>(sum & 255), static_cast<int>(sum >> 8 & 255),
                                      static_cast<int>(sum >> 16 & 255), static_cast<int>(sum >> 24 & 255)}));
}

TEST(TensorBoard, ScalarEvent) {
  // wall_time 1.0 = 0x3FF0000000000000; step 300 = varint AC 02; value: tag "a", simple_value 0.5f = 0x3F000000
  const std::string expected = bytes({0x09, 0,    0,    0,    0,   0, 0, 0xF0, 0x3F,  // 1: double
                                      0x10, 0xAC, 0x02,                               // 2: varint
                                      0x2A, 0x0A,                                     // 5: summary of 10 bytes
                                      0x0A, 0x08,                                     // 1: value of 8 bytes
                                      0x0A, 0x01, 'a',                                // 1: tag
                                      0x15, 0x00, 0x00, 0x00, 0x3F});                 // 2: float
  EXPECT_EQ(scalar_event(1.0, 300, {{"a", 0.5}}), expected);
}

TEST(TensorBoard, SessionStartForgetsLaterSteps) {
  const std::string expected = bytes({0x09, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0x10, 0x05, 0x3A, 0x02, 0x08, 0x01});
  EXPECT_EQ(session_start_event(1.0, 5), expected);
}

TEST(TensorBoard, EachStartOpensAFileThatSortsBehindTheOthers) {
  const TemporaryFolder folder;
  TensorBoardWriter first(folder.path() / "tensorboard", 1), second(folder.path() / "tensorboard", 4);
  EXPECT_LT(first.path().filename().string(), second.path().filename().string());
  first.add(1, {{"loss", 2.5}});
  const auto before = std::filesystem::file_size(first.path());
  first.flush();
  EXPECT_GT(std::filesystem::file_size(first.path()), before);
}

}  // namespace
}  // namespace coxswain
