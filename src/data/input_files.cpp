#include "data/input_files.h"

#include <fmt/format.h>
#include <glob.h>

#include <filesystem>
#include <span>

#include "base/error.h"
#include "io/agree.h"
#include "io/disk_file.h"

namespace coxswain {

namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& key, const char* why) {
  throw Error(ExitCode::data, fmt::format("{} ({}) {}", path, key, why));
}

std::string read_text(const std::string& path, const std::string& key) {
  const DiskFile file = DiskFile::open(path);
  std::string text(static_cast<std::size_t>(file.size()), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  if (text.empty()) refuse(path, key, "is empty: take it out");
  for (const char* magic : {"\x1f\x8b", "\x28\xb5\x2f\xfd", "PK\x03\x04", "PAR1"}) {
    if (text.starts_with(magic)) refuse(path, key, "is compressed or binary: unpack it, as JSONL in UTF-8");
  }
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
    refuse(path, key, "is UTF-16: write it as UTF-8 (iconv -f UTF-16 -t UTF-8)");
  }
  if (text.starts_with("\xef\xbb\xbf")) text.erase(0, 3);
  return text;
}

}  // namespace

std::vector<std::string> matching_files(const std::string& pattern, const std::string& key) {
  if (pattern.find_first_of("*?[") == std::string::npos || std::filesystem::exists(pattern)) return {pattern};
  glob_t found{};
  const int status = ::glob(pattern.c_str(), 0, nullptr, &found);
  std::vector<std::string> paths;
  if (status == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  if (paths.empty()) throw Error(ExitCode::data, fmt::format("no file matches {} {}", key, pattern));
  return paths;
}

std::string read_on_every_rank(const std::string& path, const std::string& key, Communicator& world) {
  return from_rank_0(world, "read a file of records", [&] { return read_text(path, key); });
}

}  // namespace coxswain
