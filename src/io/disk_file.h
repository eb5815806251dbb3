// Files whose bytes must be on the disk: every call's status is checked, and every error names the path and, if the
// disk is full, the bytes needed and the bytes free.
#pragma once

#include <cstdint>
#include <string>

namespace coxswain {

// A file that exists, opened for writing at given places.
class DiskFile {
 public:
  explicit DiskFile(const std::string& path);
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;
  ~DiskFile();

  std::int64_t bytes() const;
  void reserve(std::int64_t bytes);  // takes the space now, where the file system can
  void write_at(std::int64_t place, const void* memory, std::int64_t bytes);  // and starts to send it to the disk
  void read_at(std::int64_t place, void* memory, std::int64_t bytes) const;
  void sync();
  void close();

 private:
  std::string path_;
  int descriptor_ = -1;
};

struct FileHash {
  std::int64_t bytes = 0;
  std::uint64_t hash = 0;  // XXH3, 64 bits, of all bytes
};

// Throws Error(input_output) if it is missing, not a regular file (a link is not followed) or cannot be read.
FileHash hash_file(const std::string& path);

// The same errors, and one for a file of more than `most` bytes.
std::string read_regular_file(const std::string& path, std::int64_t most);

void sync_file(const std::string& path);
void sync_folder(const std::string& path);         // makes creations and renames in it last
std::int64_t free_bytes(const std::string& path);  // of its file system; 0 if unknown
void make_folder(const std::string& path);         // must not exist; the one above must
void remove_tree(const std::string& path);
// `from` takes the place of `to`, which need not exist; what `to` was, if anything, is removed afterwards.
void replace_folder(const std::string& from, const std::string& to);

}  // namespace coxswain
