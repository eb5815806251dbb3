// Bytes of a file at given places, by pread and pwrite: every failure is an Error that names path, place and reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace coxswain {

class RawFile {
 public:
  static RawFile open(const std::filesystem::path& path);    // for reading; not there or no file: Error(data)
  static RawFile modify(const std::filesystem::path& path);  // for writing into a file that is there
  static RawFile create(const std::filesystem::path& path);  // for writing and reading, empty
  RawFile() = default;
  RawFile(RawFile&& other) noexcept;
  RawFile& operator=(RawFile&& other) noexcept;
  ~RawFile();

  void read(std::int64_t offset, std::span<std::byte> bytes) const;  // all of them, or Error(data)
  void write(std::int64_t offset, std::span<const std::byte> bytes);
  std::int64_t size() const;
  void sync();   // to the disk
  void close();  // reports what only closing tells
  const std::filesystem::path& path() const { return path_; }

 private:
  RawFile(const std::filesystem::path& path, int descriptor) : path_(path), descriptor_(descriptor) {}
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Makes a finished temporary file the file of that name: sync, rename, sync of the folder.
void commit_file(const std::filesystem::path& temporary, const std::filesystem::path& path);

}  // namespace coxswain
