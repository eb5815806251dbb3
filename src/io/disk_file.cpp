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
#include <utility>
#include <vector>

namespace coxswain {

void fail_at_file(const std::string& what, const std::string& path, int error, std::int64_t needed, ExitCode code) {
  std::string advice;
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    advice = fmt::format("; {} bytes are needed and {} are free: make room, or move run.directory, and run again",
                         needed, free_bytes(path));
  if (error == EACCES || error == EPERM || error == EROFS || error == ENOTDIR || error == EEXIST)
    advice = code == ExitCode::data ? "" : "; choose a run.directory that you can write";
  throw Error(code, fmt::format("cannot {} {}: {}{}", what, path, std::strerror(error), advice));
}

DiskFile::DiskFile(const std::string& path, int flags, ExitCode missing, ExitCode short_read, const char* what)
    : path_(path), descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0666)), short_read_(short_read) {
  if (descriptor_ < 0) fail_at_file(what, path, errno, 0, missing);
}

DiskFile DiskFile::open(const std::string& path) {
  DiskFile file(path, O_RDONLY, ExitCode::data, ExitCode::data, "read");
  struct stat status {};
  if (::fstat(file.descriptor_, &status) != 0) fail_at_file("look at", path, errno);
  if (S_ISDIR(status.st_mode)) fail_at_file("read", path, EISDIR, 0, ExitCode::data);
  return file;
}

DiskFile DiskFile::regular(const std::string& path) {
  DiskFile file(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, ExitCode::input_output, ExitCode::input_output, "open");
  struct stat status {};
  if (::fstat(file.descriptor_, &status) != 0) fail_at_file("look at", path, errno);
  if (!S_ISREG(status.st_mode)) throw Error(ExitCode::input_output, path + " is not a regular file");
  return file;
}

DiskFile DiskFile::modify(const std::string& path) {
  return {path, O_RDWR, ExitCode::input_output, ExitCode::input_output, "write"};
}

DiskFile DiskFile::create(const std::string& path) {
  return {path, O_RDWR | O_CREAT | O_TRUNC, ExitCode::input_output, ExitCode::input_output, "create"};
}

DiskFile::DiskFile(DiskFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      short_read_(other.short_read_) {}

DiskFile& DiskFile::operator=(DiskFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(short_read_, other.short_read_);
  return *this;
}

DiskFile::~DiskFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void DiskFile::read(std::int64_t place, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got = ::pread(descriptor_, bytes.data(), bytes.size(), place);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_at_file(fmt::format("read byte {} of", place), path_, errno);
    if (got == 0)
      throw Error(short_read_, fmt::format("{} ends at byte {}, {} bytes before it should: was it cut, or changed "
                                           "while in use?",
                                           path_, place, bytes.size()));
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    place += got;
  }
}

void DiskFile::write(std::int64_t place, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(descriptor_, bytes.data(), bytes.size(), place);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail_at_file("write to", path_, put < 0 ? errno : ENOSPC, static_cast<std::int64_t>(bytes.size()));
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    place += put;
  }
}

// Without it the kernel would collect everything and leave the work to sync(), which reports the errors of both.
void DiskFile::send(std::int64_t place, std::int64_t bytes) {
  static_cast<void>(::sync_file_range(descriptor_, place, bytes, SYNC_FILE_RANGE_WRITE));
}

void DiskFile::reserve(std::int64_t bytes) {
  if (bytes <= 0) return;
  int result = 0;
  do result = ::fallocate(descriptor_, 0, 0, bytes);
  while (result != 0 && errno == EINTR);
  const bool unable = errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL;
  if (result != 0 && !unable) fail_at_file("reserve space for", path_, errno, bytes);
}

std::int64_t DiskFile::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail_at_file("look at", path_, errno);
  return status.st_size;
}

void DiskFile::sync() {
  if (::fsync(descriptor_) != 0) fail_at_file("bring to the disk", path_, errno, size());
}

void DiskFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor >= 0 && ::close(descriptor) != 0) fail_at_file("close", path_, errno);
}

FileHash hash_file(const std::string& path) {
  constexpr std::int64_t kBlock = std::int64_t{2} << 20;
  const DiskFile file = DiskFile::regular(path);
  const std::int64_t bytes = file.size();
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<std::byte> block(static_cast<std::size_t>(std::min(bytes, kBlock)));
  for (std::int64_t at = 0; at < bytes; at += static_cast<std::int64_t>(block.size())) {
    block.resize(static_cast<std::size_t>(std::min(bytes - at, kBlock)));
    file.read(at, block);
    XXH3_64bits_update(state.get(), block.data(), block.size());
  }
  return {bytes, XXH3_64bits_digest(state.get())};
}

std::string read_regular_file(const std::string& path, std::int64_t most) {
  const DiskFile file = DiskFile::regular(path);
  const std::int64_t bytes = file.size();
  if (bytes > most)
    throw Error(ExitCode::input_output, fmt::format("{} has {} bytes; at most {} are expected", path, bytes, most));
  std::string text(static_cast<std::size_t>(bytes), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void sync_file(const std::string& path) {
  DiskFile file = DiskFile::modify(path);
  file.sync();
  file.close();
}

void sync_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail_at_file("open the folder", path, errno);
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  // Some network file systems cannot sync a folder and need not.
  if (error != 0 && error != EINVAL && error != EROFS) fail_at_file("bring to the disk the folder", path, error);
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
  if (::mkdir(path.c_str(), 0777) != 0) fail_at_file("create the folder", path, errno, 4096);
}

void remove_tree(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) fail_at_file("remove", path, error.value());
}

void commit_file(const std::string& temporary, const std::string& path) {
  sync_file(temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail_at_file("rename to", path, errno);
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  sync_folder(folder.empty() ? "." : folder.string());
}

void replace_folder(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return;
  if (errno != ENOTEMPTY && errno != EEXIST) fail_at_file("rename to", to, errno);
  // The two change names in one instant; where that is unknown, the old one steps aside first.
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) return remove_tree(from);
  const std::string aside = to + ".old.tmp";
  remove_tree(aside);
  if (::rename(to.c_str(), aside.c_str()) != 0) fail_at_file("rename", to, errno);
  if (::rename(from.c_str(), to.c_str()) != 0) fail_at_file("rename to", to, errno);
  remove_tree(aside);
}

}  // namespace coxswain
