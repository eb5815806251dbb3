#include "data/word_splitter.h"

#include <fmt/format.h>

#include "base/error.h"
#include "data/utf8.h"

namespace coxswain {

namespace {

// Unicode's White_Space, spelt out: PCRE2's own \s has U+180E and lacks U+0085.
#define COXSWAIN_SPACE R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"
constexpr const char* kPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^)" COXSWAIN_SPACE R"(\p{L}\p{N}]+|[)" COXSWAIN_SPACE
    R"(]+(?![^)" COXSWAIN_SPACE R"(])|[)" COXSWAIN_SPACE R"(]+)";
#undef COXSWAIN_SPACE

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

}  // namespace

WordSplitter::WordSplitter() : pattern_(kPattern) {}

void WordSplitter::split_valid(std::string_view text, std::vector<std::string_view>& words) {
  std::size_t position = 0;
  while (position < text.size()) {
    const std::optional<Pattern::Match> found = pattern_.find(text, position);
    // The alternatives cover every character, so a match starts where the one before it ended.
    if (!found || found->begin != position || found->end <= position) {
      throw Error(ExitCode::internal, fmt::format("GPT-2's pattern left a gap at byte {}", position));
    }
    words.push_back(text.substr(position, found->end - position));
    position = found->end;
  }
}

void WordSplitter::split(std::string_view text, std::vector<std::string_view>& words) {
  std::size_t position = 0;
  while (position < text.size()) {
    std::size_t end = position;
    while (const int length = utf8_length(text, end)) end += static_cast<std::size_t>(length);
    split_valid(text.substr(position, end - position), words);
    position = end;
    while (end < text.size() && utf8_length(text, end) == 0) ++end;
    if (end > position) words.push_back(text.substr(position, end - position));
    position = end;
  }
}

bool WordSplitter::can_cut(std::string_view text, std::size_t position) {
  if (position == 0 || position + 1 >= text.size()) return false;
  const char here = text[position];
  if (here != ' ' && here != '\n' && here != '\t') return false;
  // \s+(?!\S) takes a run of white space up to its last one, with or without the cut; the last one starts a new word.
  const int length = utf8_length(text, position + 1);
  return length > 0 && !is_white_space(utf8_code_point(text, position + 1));
}

}  // namespace coxswain
