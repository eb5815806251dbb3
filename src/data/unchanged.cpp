#include "data/unchanged.h"

#include <fmt/format.h>

#include "base/error.h"
#include "io/fingerprint.h"

namespace coxswain {

void check_unchanged(Archive& archive, const std::string& name, const std::string& now, const std::string& what) {
  std::string then = now;
  archive.value(name, then);
  if (then != now) {
    throw Error(ExitCode::data, fmt::format("the checkpoint was written with {} {}, now it is {}: the run cannot go on "
                                            "as it began. Restore it, or start a new run from the weights",
                                            what, then, now));
  }
}

std::string content_hash(const std::vector<std::vector<std::int32_t>>& sequences) {
  std::vector<std::int32_t> all;
  for (const std::vector<std::int32_t>& sequence : sequences) {
    all.push_back(static_cast<std::int32_t>(sequence.size()));
    all.insert(all.end(), sequence.begin(), sequence.end());
  }
  return hexadecimal(hash_bytes(all.data(), all.size() * sizeof(std::int32_t)));
}

}  // namespace coxswain
