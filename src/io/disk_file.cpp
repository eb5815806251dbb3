#include "io/disk_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/error.h"

namespace coxswain {

namespace {

constexpr std::int64_t kBlock = std::int64_t{8} << 20;  // bytes written or read at a time

[[noreturn]] void fail(const char* what, const std::string& path, int error, std::int64_t needed = 0) {
  std::string advice;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    advice = fmt::format("; {} bytes are needed and {} are free: make room, or lower checkpoint.keep", needed,
                         free_bytes(path));
  if (error == EACCES || error == EPERM || error == EROFS) advice = "; choose a run.directory that you can write";
  throw Error(ExitCode::input_output, fmt::format("cannot {} {}: {}{}", what, path, std::strerror(error), advice));
}

int open_file(const std::string& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) fail("open", path, errno);
  return descriptor;
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags) : id_(open_file(path, flags)) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(id_); }
  int id() const { return id_; }

 private:
  int id_;
};

std::int64_t regular_size(const Descriptor& file, const std::string& path) {
  struct stat status {};
  if (::fstat(file.id(), &status) != 0) fail("look at", path, errno);
  if (!S_ISREG(status.st_mode)) throw Error(ExitCode::input_output, path + " is not a regular file");
  return status.st_size;
}

}  // namespace

DiskFile::DiskFile(const std::string& path) : path_(path), descriptor_(open_file(path, O_RDWR)) {}

DiskFile::~DiskFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::int64_t DiskFile::bytes() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail("look at", path_, errno);
  return status.st_size;
}

void DiskFile::reserve(std::int64_t bytes) {
  if (bytes <= 0) return;
  int result = 0;
  do result = ::fallocate(descriptor_, 0, 0, bytes);
  while (result != 0 && errno == EINTR);
  const bool unable = errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL;
  if (result != 0 && !unable) fail("reserve space for", path_, errno, bytes);
}

void DiskFile::write_at(std::int64_t place, const void* memory, std::int64_t bytes) {
  const char* from = static_cast<const char*>(memory);
  while (bytes > 0) {
    const auto block = static_cast<std::size_t>(std::min(bytes, kBlock));
    const ssize_t written = ::pwrite(descriptor_, from, block, place);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("write to", path_, written < 0 ? errno : ENOSPC, bytes);
    // Without it the kernel would collect everything and leave the work to sync(). Only a hint: sync() reports errors.
    static_cast<void>(::sync_file_range(descriptor_, place, written, SYNC_FILE_RANGE_WRITE));
    from += written, place += written, bytes -= written;
  }
}

void DiskFile::read_at(std::int64_t place, void* memory, std::int64_t bytes) const {
  char* to = static_cast<char*>(memory);
  while (bytes > 0) {
    const ssize_t got = ::pread(descriptor_, to, static_cast<std::size_t>(bytes), place);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) fail("read back", path_, got < 0 ? errno : EIO);
    to += got, place += got, bytes -= got;
  }
}

void DiskFile::sync() {
  if (::fsync(descriptor_) != 0) fail("bring to the disk", path_, errno, bytes());
}

void DiskFile::close() {
  const int descriptor = descriptor_;
  descriptor_ = -1;
  if (::close(descriptor) != 0) fail("close", path_, errno);
}

FileHash hash_file(const std::string& path) {
  const Descriptor file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const std::int64_t bytes = regular_size(file, path);
  static_cast<void>(::posix_fadvise(file.id(), 0, 0, POSIX_FADV_SEQUENTIAL));
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<char> block(static_cast<std::size_t>(std::clamp<std::int64_t>(bytes, 4096, kBlock / 4)));
  FileHash result;
  for (;;) {
    const ssize_t got = ::read(file.id(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path, errno);
    if (got == 0) break;
    XXH3_64bits_update(state.get(), block.data(), static_cast<std::size_t>(got));
    result.bytes += got;
  }
  result.hash = XXH3_64bits_digest(state.get());
  return result;
}

std::string read_regular_file(const std::string& path, std::int64_t most) {
  const Descriptor file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const std::int64_t bytes = regular_size(file, path);
  if (bytes > most)
    throw Error(ExitCode::input_output, fmt::format("{} has {} bytes; at most {} are expected", path, bytes, most));
  std::string text(static_cast<std::size_t>(bytes), '\0');
  std::size_t at = 0;
  while (at < text.size()) {
    const ssize_t got = ::read(file.id(), text.data() + at, text.size() - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path, errno);
    if (got == 0) break;
    at += static_cast<std::size_t>(got);
  }
  text.resize(at);
  return text;
}

void sync_file(const std::string& path) {
  DiskFile file(path);
  file.sync();
  file.close();
}

void sync_folder(const std::string& path) {
  const Descriptor folder(path, O_RDONLY | O_DIRECTORY);
  // Some network file systems cannot sync a folder and need not.
  if (::fsync(folder.id()) != 0 && errno != EINVAL && errno != EROFS) fail("bring to the disk the folder", path, errno);
}

std::int64_t free_bytes(const std::string& path) {
  struct statvfs status {};
  std::filesystem::path place = path;
  while (::statvfs(place.c_str(), &status) != 0) {
    if (!place.has_parent_path() || place == place.parent_path()) return 0;
    place = place.parent_path();
  }
  return static_cast<std::int64_t>(status.f_bavail) * static_cast<std::int64_t>(status.f_frsize);
}

void make_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0777) != 0) fail("create the folder", path, errno, 4096);
}

void remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) fail("remove", path, error.value());
}

void replace_folder(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return;
  if (errno != ENOTEMPTY && errno != EEXIST) fail("rename to ", to, errno);
  // The two change names in one instant; where that is unknown, the old one steps aside first.
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return remove_tree(from);
  const std::string aside = to + ".old.tmp";
  remove_tree(aside);
  if (::rename(to.c_str(), aside.c_str()) != 0) fail("rename", to, errno);
  if (::rename(from.c_str(), to.c_str()) != 0) fail("rename to", to, errno);
  remove_tree(aside);
}

}  // namespace coxswain
