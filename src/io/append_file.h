// Text files of a run directory: appended to line by line with one write() each, or replaced as a whole by rename.
// Every failure is an Error(input_output) that names the path, the bytes and what to do.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace coxswain {

// Opened with O_APPEND; what is appended is either whole in the file or not there at all.
class AppendFile {
 public:
  explicit AppendFile(std::filesystem::path path);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  ~AppendFile();

  void append(std::string_view text);
  void sync();  // to the disk, so that a line lives as long as the checkpoint after it
  void truncate(std::int64_t bytes);
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// The whole file, or nothing if it does not exist.
std::string read_text_file(const std::filesystem::path& path);

// Writes path.tmp and renames it: a reader sees the old contents or the new ones.
void replace_text_file(const std::filesystem::path& path, std::string_view text);

// Creates the folder and those above it.
void create_folder(const std::filesystem::path& path);

}  // namespace coxswain
