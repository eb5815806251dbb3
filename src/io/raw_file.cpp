#include "io/raw_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace coxswain {

namespace {

[[noreturn]] void fail(ExitCode code, const std::string& what, const std::filesystem::path& path, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  throw Error(code, fmt::format("cannot {} {}: {}{}", what, path.string(), std::strerror(error),
                                full ? "; free some space and run again" : ""));
}

int open_or_fail(const std::filesystem::path& path, int flags, ExitCode code, const char* what) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
  if (descriptor < 0) fail(code, what, path, errno);
  return descriptor;
}

}  // namespace

RawFile RawFile::open(const std::filesystem::path& path) {
  RawFile file(path, open_or_fail(path, O_RDONLY, ExitCode::data, "read"));
  struct stat status {};
  if (::fstat(file.descriptor_, &status) != 0) fail(ExitCode::input_output, "look at", path, errno);
  if (S_ISDIR(status.st_mode)) fail(ExitCode::data, "read", path, EISDIR);
  return file;
}

RawFile RawFile::modify(const std::filesystem::path& path) {
  return {path, open_or_fail(path, O_RDWR, ExitCode::input_output, "write")};
}

RawFile RawFile::create(const std::filesystem::path& path) {
  return {path, open_or_fail(path, O_RDWR | O_CREAT | O_TRUNC, ExitCode::input_output, "create")};
}

RawFile::RawFile(RawFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

RawFile& RawFile::operator=(RawFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

RawFile::~RawFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void RawFile::read(std::int64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got = ::pread(descriptor_, bytes.data(), bytes.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ExitCode::input_output, fmt::format("read byte {} of", offset), path_, errno);
    if (got == 0) {
      throw Error(ExitCode::data, fmt::format("{} ends at byte {}, {} bytes before it should: was it cut, or changed "
                                              "while in use?",
                                              path_.string(), offset, bytes.size()));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    offset += got;
  }
}

void RawFile::write(std::int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(descriptor_, bytes.data(), bytes.size(), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      fail(ExitCode::input_output, fmt::format("write {} bytes to", bytes.size()), path_, put == 0 ? ENOSPC : errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += put;
  }
}

std::int64_t RawFile::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail(ExitCode::input_output, "look at", path_, errno);
  return status.st_size;
}

void RawFile::sync() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL) fail(ExitCode::input_output, "sync", path_, errno);
}

void RawFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor >= 0 && ::close(descriptor) != 0) fail(ExitCode::input_output, "close", path_, errno);
}

void commit_file(const std::filesystem::path& temporary, const std::filesystem::path& path) {
  RawFile file = RawFile::modify(temporary);
  file.sync();
  file.close();
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail(ExitCode::input_output, "rename to", path, errno);
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;  // a folder that cannot be opened cannot be synced either; the file itself is safe
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace coxswain
