#include "data/config.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "base/text.h"

namespace coxswain {

namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ExitCode::usage, message); }

}  // namespace

void DataConfig::check() const {
  if (validation_share < 0.0 || validation_share >= 1.0) {
    refuse(fmt::format("[data] validation_share = {} must be at least 0 and less than 1", validation_share));
  }
  if (tokenizer == TokenizerKind::gpt2) {
    if (vocabulary_file.empty()) refuse("[data] vocabulary_file must be given when [data] tokenizer = gpt2");
    if (merges_file.empty()) refuse("[data] merges_file must be given when [data] tokenizer = gpt2");
  }
  if (!source.empty() && !synthetic()) parse_sources(source);
}

ChatConfig without_markers() {
  return {
      .system_prefix = "", .user_prefix = "", .turn_end = "", .assistant_prefix = "", .response_start = "", .stop = ""};
}

void ChatConfig::check() const {
  if (!user_prefix.empty() && user_prefix == assistant_prefix) {
    refuse(fmt::format("[chat] assistant_prefix = {} is also user_prefix; the two roles need different markers",
                       escape(assistant_prefix)));
  }
}

std::vector<std::string> parse_paths(const std::string& list) { return split(list, ','); }

std::vector<DataSource> parse_sources(const std::string& list) {
  std::vector<DataSource> sources;
  for (const std::string& item : split(list, ',')) {
    DataSource source{.path = item};
    const auto colon = item.rfind(':');
    if (colon != std::string::npos) {
      const std::string weight = trim(item.substr(colon + 1));
      source.path = trim(item.substr(0, colon));
      const auto [end, status] = std::from_chars(weight.data(), weight.data() + weight.size(), source.weight);
      if (status != std::errc() || end != weight.data() + weight.size() || !(source.weight > 0.0)) {
        refuse(
            fmt::format("[data] source = {}: '{}' is no weight; use path or path:weight with a positive number, "
                        "and for a path with a colon in it always path:weight, {}:1",
                        list, weight, item));
      }
    }
    if (source.path.empty())
      refuse(fmt::format("[data] source = {} has an empty entry; use path, path:weight, ...", list));
    if (source.path == "synthetic")
      refuse(fmt::format("[data] source = {}: synthetic cannot be mixed with files", list));
    sources.push_back(source);
  }
  return sources;
}

}  // namespace coxswain
