// Files by the system's own calls: every status is checked, and every error names the path, the reason and, if the disk
// is full, the bytes needed and the bytes free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"

namespace coxswain {

// Bytes at given places of a file. Reading beyond the end is an Error(data) in a file that was opened to be read, and
// an Error(input_output) in one that is being written.
class DiskFile {
 public:
  static DiskFile open(const std::string& path);     // for reading; not there or no file: Error(data)
  static DiskFile regular(const std::string& path);  // for reading; no link, pipe or device; Error(input_output)
  static DiskFile modify(const std::string& path);   // for writing into a file that is there, and reading
  static DiskFile create(const std::string& path);   // the same, empty
  DiskFile() = default;
  DiskFile(DiskFile&& other) noexcept;
  DiskFile& operator=(DiskFile&& other) noexcept;
  ~DiskFile();

  void read(std::int64_t place, std::span<std::byte> bytes) const;
  void write(std::int64_t place, std::span<const std::byte> bytes);
  void send(std::int64_t place, std::int64_t bytes);  // a hint: these may go to the disk now, before sync()
  void reserve(std::int64_t bytes);                   // takes the space now, where the file system can
  std::int64_t size() const;
  void sync();   // all that was written is on the disk
  void close();  // reports what only closing tells
  const std::string& path() const { return path_; }

 private:
  DiskFile(const std::string& path, int flags, ExitCode missing, ExitCode short_read, const char* what);
  std::string path_;
  int descriptor_ = -1;
  ExitCode short_read_ = ExitCode::data;
};

struct FileHash {
  std::int64_t bytes = 0;
  std::uint64_t hash = 0;  // XXH3, 64 bits, of all bytes
  friend bool operator==(const FileHash&, const FileHash&) = default;
};

// Error(input_output) if it is missing, not a regular file (a link is not followed) or cannot be read.
FileHash hash_file(const std::string& path);
// The same errors, and one for a file of more than `most` bytes.
std::string read_regular_file(const std::string& path, std::int64_t most);

void sync_file(const std::string& path);
void sync_folder(const std::string& path);         // makes creations and renames in it last
std::int64_t free_bytes(const std::string& path);  // of its file system; 0 if unknown
void make_folder(const std::string& path);         // must not exist; the one above must
void remove_tree(const std::string& path);
// A finished temporary file becomes the file of that name: sync, rename, sync of the folder.
void commit_file(const std::string& temporary, const std::string& path);
// `from` takes the place of `to`, which need not exist; what `to` was, if anything, is removed afterwards.
void replace_folder(const std::string& from, const std::string& to);

// "cannot WHAT PATH: reason; what to do". `error` is an errno, `needed` the bytes that should have been written.
[[noreturn]] void fail_at_file(const std::string& what, const std::string& path, int error, std::int64_t needed = 0,
                               ExitCode code = ExitCode::input_output);

}  // namespace coxswain
