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
  text.erase(0, check_start(text, path, key));
  return text;
}

}  // namespace

bool is_json(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension();
  return extension == ".jsonl" || extension == ".ndjson" || extension == ".json";
}

std::size_t check_start(std::string_view start, const std::string& path, const std::string& key) {
  if (start.empty()) refuse(path, key, "is empty: take it out");
  // gzip, zstd, bzip2, xz, ZIP, Parquet, HDF5.
  for (const char* magic :
       {"\x1f\x8b", "\x28\xb5\x2f\xfd", "BZh91AY", "\xfd\x37zXZ", "PK\x03\x04", "PAR1", "\x89HDF"}) {
    if (start.starts_with(magic)) refuse(path, key, "is compressed or binary: unpack it, as text or JSONL in UTF-8");
  }
  if (start.starts_with("\xff\xfe") || start.starts_with("\xfe\xff")) {
    refuse(path, key, "is UTF-16: write it as UTF-8 (iconv -f UTF-16 -t UTF-8)");
  }
  return start.starts_with("\xef\xbb\xbf") ? 3 : 0;
}

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
