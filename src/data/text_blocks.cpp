#include "data/text_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "data/input_files.h"
#include "data/json_lines.h"
#include "data/record.h"

namespace coxswain {

namespace {

constexpr std::int64_t kSmallestBlock = 64 << 10, kLargestBlock = 1 << 20;
constexpr std::int64_t kBlocksWanted = 256;
constexpr std::int64_t kSearched = 64 << 10;  // bytes looked through at a time for a place to cut

std::string read_text(const DiskFile& file, std::int64_t start, std::int64_t end) {
  std::string text(static_cast<std::size_t>(end - start), '\0');
  file.read(start, std::as_writable_bytes(std::span(text)));
  return text;
}

std::int64_t line_number(const DiskFile& file, std::int64_t place) {
  std::int64_t lines = 1;
  for (std::int64_t start = 0; start < place; start += kLargestBlock) {
    const std::string text = read_text(file, start, std::min(place, start + kLargestBlock));
    lines += std::count(text.begin(), text.end(), '\n');
  }
  return lines;
}

// The document of a line.
std::string document_of(const nlohmann::json& json, const std::string& key) {
  if (!json.contains(key)) {
    std::vector<std::string> keys;
    for (const auto& item : json.items()) keys.push_back(item.key());
    throw BadRecord(fmt::format("no key \"{}\" ([data] json_key); the line has {}", key, fmt::join(keys, ", ")));
  }
  if (!json[key].is_string())
    throw BadRecord(fmt::format("\"{}\" is a {}, a string is wanted", key, json[key].type_name()));
  return json[key].get<std::string>();
}

void end_document(const Tokenizer& tokenizer, EncodedBlock& out) {
  out.tokens.push_back(tokenizer.end_of_document());
  out.document_ends.push_back(static_cast<std::int64_t>(out.tokens.size()));
}

}  // namespace

TextBlocks::TextBlocks(const std::vector<std::string>& paths, const Options& options) : options_(options) {
  for (const std::string& pattern : paths) {
    for (const std::string& path : matching_files(pattern, "[data] input")) add_file(path);
  }
  if (options_.block_bytes <= 0) {
    options_.block_bytes = std::clamp(bytes_ / kBlocksWanted, kSmallestBlock, kLargestBlock);
  }
  for (File& file : files_) {
    file.first_block = blocks_;
    blocks_ += (file.size + options_.block_bytes - 1) / options_.block_bytes;
  }
}

void TextBlocks::add_file(const std::string& path) {
  File file{.file = DiskFile::open(path)};
  file.size = file.file.size();
  if (file.size == 0) throw Error(ExitCode::data, path + " is empty: take it out of [data] input");
  const std::string extension = std::filesystem::path(path).extension();
  file.json_lines = extension == ".jsonl" || extension == ".ndjson";
  bytes_ += file.size;
  files_.push_back(std::move(file));
}

// The first place in [first, last) where `text` may be cut, or npos.
std::size_t TextBlocks::find_cut(const File& file, std::string_view text, std::size_t first, std::size_t last,
                                 const Tokenizer& tokenizer) const {
  if (file.json_lines) {
    const std::size_t line_end = text.find('\n', first - 1);
    return line_end != std::string_view::npos && line_end + 1 < last ? line_end + 1 : std::string_view::npos;
  }
  const std::size_t length = options_.separator.size();
  for (std::size_t place = first; place < last; ++place) {
    if (!tokenizer.can_cut(text, place)) continue;
    if (length == 0) return place;
    // No separator ends here or goes across: the place is inside a document that has begun, and both sides find the
    // separators that the whole text has.
    const std::size_t before = std::min(place, length);
    const std::string_view around = text.substr(place - before, before + length - 1);
    if (around.find(options_.separator) == std::string_view::npos) return place;
  }
  return std::string_view::npos;
}

std::int64_t TextBlocks::cut_at_or_after(const File& file, std::int64_t place, const Tokenizer& tokenizer) const {
  if (place <= 0) return 0;
  const auto context = static_cast<std::int64_t>(std::max<std::size_t>(options_.separator.size(), 8));
  for (; place < file.size; place += kSearched) {
    const std::int64_t start = std::max<std::int64_t>(place - context, 0);
    const std::int64_t end = std::min(place + kSearched + context, file.size);
    const std::string text = read_text(file.file, start, end);
    const auto first = static_cast<std::size_t>(place - start);
    const auto last = static_cast<std::size_t>(std::min(place + kSearched, file.size) - start);
    const std::size_t cut = find_cut(file, text, first, last, tokenizer);
    if (cut != std::string_view::npos) return start + static_cast<std::int64_t>(cut);
  }
  return file.size;
}

EncodedBlock TextBlocks::encode(std::int64_t block, Tokenizer& tokenizer) const {
  const auto after = std::upper_bound(files_.begin(), files_.end(), block,
                                      [](std::int64_t b, const File& file) { return b < file.first_block; });
  const File& file = *(after - 1);
  const std::int64_t place = (block - file.first_block) * options_.block_bytes;
  const std::int64_t start = cut_at_or_after(file, place, tokenizer);
  const std::int64_t end = cut_at_or_after(file, place + options_.block_bytes, tokenizer);
  EncodedBlock out;
  if (start >= end) return out;
  out.bytes = end - start;
  const std::string text = read_text(file.file, start, end);
  if (file.json_lines) {
    encode_lines(file, start, text, tokenizer, out);
  } else {
    encode_text(text, start > 0, end == file.size, tokenizer, out);
  }
  return out;
}

void TextBlocks::encode_text(std::string_view text, bool continued, bool ends, Tokenizer& tokenizer,
                             EncodedBlock& out) const {
  const std::string_view separator = options_.separator;
  bool open = continued;  // the document has bytes already
  while (true) {
    const std::size_t found = separator.empty() ? std::string_view::npos : text.find(separator);
    const std::string_view part = text.substr(0, found);
    tokenizer.encode(part, out.tokens);
    open = open || !part.empty();
    const bool last = found == std::string_view::npos;
    if (open && (!last || ends)) end_document(tokenizer, out);
    if (last) return;
    open = false;
    text.remove_prefix(found + separator.size());
  }
}

void TextBlocks::encode_line(std::string_view line, const ChatFormat& chat, Tokenizer& tokenizer,
                             EncodedBlock& out) const {
  const nlohmann::json json = parse_record_text(line);
  if (!options_.json_key.empty()) {
    const std::string document = document_of(json, options_.json_key);
    if (document.empty()) return;
    tokenizer.encode(document, out.tokens);
    end_document(tokenizer, out);
    return;
  }
  for (Record& record : parse_records(json, RecordKind::demonstrations)) {
    Conversation whole = std::move(record.prompt);
    whole.push_back({Role::assistant, std::move(record.responses.front())});
    chat.check_texts(whole);
    const std::vector<std::int32_t> tokens = chat.encode(whole, record.learned).tokens;
    out.tokens.insert(out.tokens.end(), tokens.begin(), tokens.end());
    const bool ended = !tokens.empty() && tokens.back() == tokenizer.end_of_document();
    if (ended) out.tokens.pop_back();  // the stop is the end of the document as well
    end_document(tokenizer, out);
  }
}

void TextBlocks::encode_lines(const File& file, std::int64_t start, std::string_view text, Tokenizer& tokenizer,
                              EncodedBlock& out) const {
  const ChatFormat chat(options_.chat, tokenizer);
  const auto fail = [&](std::size_t place, const char* reason) {
    const std::int64_t number = line_number(file.file, start + static_cast<std::int64_t>(place));
    throw Error(ExitCode::data, fmt::format("{}:{}: {}", file.file.path(), number, reason));
  };
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t end = std::min(text.find('\n', place), text.size());
    const std::string_view line = text.substr(place, end - place);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      try {
        encode_line(line, chat, tokenizer, out);
      } catch (const BadRecord& why) {
        fail(place, why.what());
      } catch (const UnusableRecord& why) {
        fail(place, why.what());
      }
    }
    place = end + 1;
  }
}

}  // namespace coxswain
