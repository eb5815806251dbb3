#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/word_splitter.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>

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

std::string message_of(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct WordSplitter::Pattern {
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  };
  std::unique_ptr<pcre2_code, Free> code;
  std::unique_ptr<pcre2_match_data, Free> match;
};

WordSplitter::WordSplitter() : pattern_(std::make_unique<Pattern>()) {
  int error = 0;
  PCRE2_SIZE offset = 0;
  pattern_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kPattern), PCRE2_ZERO_TERMINATED,
                                     PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
  if (!pattern_->code) {
    throw Error(ExitCode::internal, fmt::format("PCRE2 refuses GPT-2's pattern at {}: {}", offset, message_of(error)));
  }
  pcre2_jit_compile(pattern_->code.get(), PCRE2_JIT_COMPLETE);  // where there is none, matching is slower, not wrong
  pattern_->match.reset(pcre2_match_data_create_from_pattern(pattern_->code.get(), nullptr));
  if (!pattern_->match) throw Error(ExitCode::internal, "PCRE2 has no memory for a match");
}

WordSplitter::WordSplitter(WordSplitter&&) noexcept = default;
WordSplitter& WordSplitter::operator=(WordSplitter&&) noexcept = default;
WordSplitter::~WordSplitter() = default;

void WordSplitter::split_valid(std::string_view text, std::vector<std::string_view>& words) {
  std::size_t position = 0;
  while (position < text.size()) {
    const int found = pcre2_match(pattern_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                  position, PCRE2_NO_UTF_CHECK, pattern_->match.get(), nullptr);
    if (found < 0) throw Error(ExitCode::internal, "PCRE2 cannot split a text: " + message_of(found));
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(pattern_->match.get());
    // The alternatives cover every character, so a match starts where the one before it ended.
    if (bounds[0] != position || bounds[1] <= bounds[0]) {
      throw Error(ExitCode::internal, fmt::format("GPT-2's pattern left a gap at byte {}", position));
    }
    words.push_back(text.substr(bounds[0], bounds[1] - bounds[0]));
    position = bounds[1];
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
