// A TensorBoard event file, written without TensorFlow or protobuf.
//
// Record (TFRecord): length as u64, masked CRC-32C of the length, the event, masked CRC-32C of the event.
// Event (protobuf): 1 wall_time double, 2 step int64, 3 file_version string, 5 summary, 7 session_log.
// Each start of the program opens a new file; its SessionLog.START tells TensorBoard to forget, in older files, the
// steps that a restart runs again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "io/append_file.h"
#include "io/metrics_log.h"

namespace coxswain {

std::uint32_t crc32c(std::string_view bytes);         // Castagnoli, reflected polynomial 0x82F63B78
std::uint32_t masked_crc32c(std::string_view bytes);  // rotated and shifted, as TFRecord wants it

std::string tensorboard_record(std::string_view event);
std::string scalar_event(double wall_time, std::int64_t step, const NamedValues& scalars);
std::string session_start_event(double wall_time, std::int64_t first_step);

class TensorBoardWriter {
 public:
  // first_step: the first one that this file will hold. A new file in `folder`, which is created.
  TensorBoardWriter(const std::filesystem::path& folder, std::int64_t first_step);
  void add(std::int64_t step, const NamedValues& scalars);  // kept in memory until flush
  void flush();
  const std::filesystem::path& path() const { return file_->path(); }

 private:
  std::unique_ptr<AppendFile> file_;
  std::string pending_;
};

}  // namespace coxswain
