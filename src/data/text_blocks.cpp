#include "data/text_blocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/text.h"
#include "data/input_files.h"
#include "data/json_lines.h"
#include "data/record.h"

namespace coxswain {

namespace {

constexpr std::int64_t kSmallestBlock = 64 << 10, kLargestBlock = 1 << 20;
constexpr std::int64_t kBlocksWanted = 256;
constexpr const char* kInputKey = "[data] input";
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

TextBlocks::Options text_options(const DataConfig& data, const ChatConfig& chat) {
  return {.separator = data.separator, .json_key = data.json_key, .chat = chat, .on_bad_line = data.on_bad_line};
}

TextBlocks::TextBlocks(const std::vector<std::string>& paths, const Options& options) : options_(options) {
  for (const std::string& pattern : paths) {
    for (const std::string& path : matching_files(pattern, kInputKey)) add_file(path);
  }
  if (options_.block_bytes <= 0) {
    options_.block_bytes = std::clamp(bytes_ / kBlocksWanted, kSmallestBlock, kLargestBlock);
  }
  for (File& file : files_) {
    file.first_block = blocks_;
    blocks_ += (file.size + options_.block_bytes - 1) / options_.block_bytes;
  }
}

// A separator with ends of lines in a text whose lines end otherwise would be found nowhere, and the text one document.
void TextBlocks::check_separator(const File& file) const {
  const std::string& separator = options_.separator;
  if (separator.find('\n') == std::string::npos) return;
  std::string in_crlf;
  for (const char c : separator) in_crlf += c == '\n' ? "\r\n" : std::string(1, c);
  const std::string text = read_text(file.file, 0, std::min(file.size, kLargestBlock));
  if (text.find(separator) != std::string::npos || text.find(in_crlf) == std::string::npos) return;
  throw Error(
      ExitCode::data,
      fmt::format("{} ([data] input) has lines that end in CR LF, where [data] separator = {} is not found; use {}, "
                  "or turn them into LF (sed -i 's/\\r$//')",
                  file.file.path(), escape(separator), escape(in_crlf)));
}

void TextBlocks::add_file(const std::string& path) {
  File file{.file = DiskFile::open(path)};
  file.size = file.file.size();
  const std::string start = read_text(file.file, 0, std::min<std::int64_t>(file.size, kSearched));
  file.start = static_cast<std::int64_t>(check_start(start.substr(0, kStartOfText), path, kInputKey));
  if (!is_json(path)) {
    check_separator(file);
  } else if (const std::size_t first = start.find_first_not_of(" \t\r\n", static_cast<std::size_t>(file.start));
             first == std::string::npos || start[first] != '[') {
    file.form = Form::lines;
  } else {
    file.form = Form::array;
    const std::string text = read_text(file.file, file.start, file.size);
    for (const JsonText& element : split_records(text))
      file.elements.push_back(
          {file.start + (element.text.data() - text.data()), std::ssize(element.text), element.line});
  }
  bytes_ += file.size - file.start;
  files_.push_back(std::move(file));
}

// The first place in [first, last) where `text` may be cut, or npos.
std::size_t TextBlocks::find_cut(const File& file, std::string_view text, std::size_t first, std::size_t last,
                                 const Tokenizer& tokenizer) const {
  if (file.form == Form::lines) {
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
  if (place <= file.start) return file.start;
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
  if (file.form == Form::array) return encode_array(file, place, tokenizer);
  const std::int64_t start = cut_at_or_after(file, place, tokenizer);
  const std::int64_t end = cut_at_or_after(file, place + options_.block_bytes, tokenizer);
  EncodedBlock out;
  if (start >= end) return out;
  out.bytes = end - start;
  const std::string text = read_text(file.file, start, end);
  if (file.form == Form::lines) {
    const ChatFormat chat(options_.chat, tokenizer);
    encode_lines(start, text, {file, chat, tokenizer, out});
  } else {
    encode_text(text, start > file.start, end == file.size, tokenizer, out);
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

EncodedBlock TextBlocks::encode_array(const File& file, std::int64_t begin, Tokenizer& tokenizer) const {
  const auto from = [&](std::int64_t place) {  // the elements that begin there or behind it
    return place >= file.size ? file.elements.end()
                              : std::partition_point(file.elements.begin(), file.elements.end(),
                                                     [&](const Element& each) { return each.place < place; });
  };
  const auto place_of = [&](auto element) {
    return element == file.elements.begin() ? file.start : element == file.elements.end() ? file.size : element->place;
  };
  const auto first = from(begin), last = from(begin + options_.block_bytes);
  EncodedBlock out;
  out.bytes = place_of(last) - place_of(first);
  const ChatFormat chat(options_.chat, tokenizer);
  for (auto element = first; element != last; ++element) {
    const std::string text = read_text(file.file, element->place, element->place + element->length);
    encode_record(text, element->place, {file, chat, tokenizer, out});
  }
  return out;
}

std::string TextBlocks::place_of(std::int64_t index, std::int64_t place) const {
  const File& file = files_.at(static_cast<std::size_t>(index));
  if (file.form != Form::array) return fmt::format("{}:{}", file.file.path(), line_number(file.file, place));
  const auto element = std::find_if(file.elements.begin(), file.elements.end(),
                                    [&](const Element& each) { return each.place == place; });
  return fmt::format("{}:{}", file.file.path(), element == file.elements.end() ? 0 : element->line);
}

void TextBlocks::leave_out(const Encoding& into, std::int64_t place, const std::string& reason,
                           const std::string& why) const {
  into.out.left_out.push_back({&into.file - files_.data(), place, reason, why});
}

void TextBlocks::encode_conversations(std::string_view text, std::int64_t place, const Encoding& into) const {
  for (Record& record : parse_records(parse_record_text(text), RecordKind::demonstrations)) {
    Conversation whole = std::move(record.prompt);
    whole.push_back({Role::assistant, std::move(record.responses.front())});
    try {
      into.chat.check_texts(whole);
    } catch (const UnusableRecord& why) {
      leave_out(into, place, why.what(), "");
      continue;
    }
    EncodedBlock& out = into.out;
    const std::vector<std::int32_t> tokens = into.chat.encode(whole, record.learned).tokens;
    out.tokens.insert(out.tokens.end(), tokens.begin(), tokens.end());
    const bool ended = !tokens.empty() && tokens.back() == into.tokenizer.end_of_document();
    if (ended) out.tokens.pop_back();  // the stop is the end of the document as well
    end_document(into.tokenizer, out);
  }
}

void TextBlocks::encode_record(std::string_view text, std::int64_t place, const Encoding& into) const {
  try {
    if (options_.json_key.empty()) return encode_conversations(text, place, into);
    const std::string document = document_of(parse_record_text(text), options_.json_key);
    if (document.empty()) return;
    into.tokenizer.encode(document, into.out.tokens);
    end_document(into.tokenizer, into.out);
  } catch (const UnusableRecord& why) {
    leave_out(into, place, why.what(), "");
  } catch (const BadRecord& why) {
    if (options_.on_bad_line == BadLine::skip) return leave_out(into, place, "bad line", why.what());
    throw Error(ExitCode::data,
                fmt::format("{}: {}; correct it, or leave such records out with [data] on_bad_line = skip",
                            place_of(&into.file - files_.data(), place), why.what()));
  }
}

void TextBlocks::encode_lines(std::int64_t start, std::string_view text, const Encoding& into) const {
  for (std::size_t place = 0; place < text.size();) {
    const std::size_t end = std::min(text.find('\n', place), text.size());
    const std::string_view line = text.substr(place, end - place);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos)
      encode_record(line, start + static_cast<std::int64_t>(place), into);
    place = end + 1;
  }
}

}  // namespace coxswain
