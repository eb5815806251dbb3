#include "data/prompts.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/text.h"
#include "data/input_files.h"
#include "data/unchanged.h"
#include "data/utf8.h"

namespace coxswain {

namespace {

PromptRecord encoded(const Record& record, const Reading& reading) {
  reading.chat.check_texts(record.prompt);
  PromptRecord out{.tokens = reading.chat.encode_prompt(record.prompt),
                   .text = plain_text(record.prompt),
                   .user = record.user,
                   .id = record.id,
                   .source = record.source};
  if (static_cast<std::int64_t>(out.tokens.size()) > reading.most_tokens) {
    throw UnusableRecord(fmt::format("prompt of more than {} tokens", reading.most_tokens));
  }
  return out;
}

void require_utf8(std::string_view line) {
  for (std::size_t place = 0; place < line.size();) {
    const int length = utf8_length(line, place);
    if (length == 0) throw UnusableRecord("not UTF-8");
    place += static_cast<std::size_t>(length);
  }
}

void read_plain(const std::string& path, const Reading& reading, Prompts& prompts) {
  const std::string text = read_on_every_rank(path, reading.files.key, reading.world);
  std::int64_t number = 0;
  for (std::size_t place = 0; place < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', place), text.size());
    std::string line = text.substr(place, end - place);
    place = end + 1;
    if (line.ends_with('\r')) line.pop_back();
    if (trim(line).empty()) continue;
    ++prompts.counts.records;
    try {
      require_utf8(line);
      Record record;
      record.prompt = {{Role::user, line}};
      prompts.records.push_back(encoded(record, reading));
    } catch (const UnusableRecord& why) {
      prompts.counts.dropped.add(why.what(), fmt::format("{}:{}", path, number + 1));
    }
  }
}

}  // namespace

bool hold_records(const std::string& paths, const std::string& key) {
  std::int64_t files = 0, records = 0;
  for (const std::string& pattern : parse_paths(paths))
    for (const std::string& path : matching_files(pattern, key)) {
      ++files;
      records += is_json(path) ? 1 : 0;
    }
  if (records != 0 && records != files)
    throw Error(ExitCode::data, fmt::format("{} = {}: some of these files hold records (.jsonl, .ndjson, .json), the "
                                            "others a prompt a line; give one kind only",
                                            key, paths));
  return records > 0;
}

Prompts read_prompts(const Reading& reading) {
  Prompts prompts;
  Reading one = reading;
  for (const std::string& pattern : parse_paths(reading.files.paths)) {
    for (const std::string& path : matching_files(pattern, reading.files.key)) {
      one.files.paths = path;
      if (is_json(path)) {
        read_as(RecordKind::prompts, one, prompts.counts,
                [&](Record& record, const std::string&) { prompts.records.push_back(encoded(record, reading)); });
      } else {
        read_plain(path, reading, prompts);
      }
    }
  }
  finish_reading(prompts.records.size(), RecordKind::prompts, reading, prompts.counts);
  return prompts;
}

std::string content_hash(const std::vector<PromptRecord>& prompts) {
  std::vector<std::vector<std::int32_t>> tokens;
  for (const PromptRecord& prompt : prompts) tokens.push_back(prompt.tokens);
  return content_hash(tokens);
}

}  // namespace coxswain
