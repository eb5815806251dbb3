#include "data/utf8.h"

namespace coxswain {

int utf8_length(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) {
    return position + i < text.size() ? static_cast<unsigned char>(text[position + i]) : 0u;
  };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const unsigned first = byte(0);
  if (position >= text.size()) return 0;
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;
  if (first < 0xe0) return continues(1) ? 2 : 0;
  if (first < 0xf0) {
    const bool overlong = first == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = first == 0xed && byte(1) >= 0xa0;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (first > 0xf4) return 0;
  const bool overlong = first == 0xf0 && byte(1) < 0x90;
  const bool too_large = first == 0xf4 && byte(1) >= 0x90;
  return continues(1) && continues(2) && continues(3) && !overlong && !too_large ? 4 : 0;
}

char32_t utf8_code_point(std::string_view text, std::size_t position) {
  const auto first = static_cast<unsigned char>(text[position]);
  const int length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  char32_t value = length == 1 ? first : first & (0xffu >> (length + 1));
  for (int i = 1; i < length; ++i) {
    value = (value << 6) | (static_cast<unsigned char>(text[position + static_cast<std::size_t>(i)]) & 0x3fu);
  }
  return value;
}

void append_utf8(std::string& text, char32_t code_point) {
  const auto append = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) return append(code_point);
  if (code_point < 0x800) {
    append(0xc0 | (code_point >> 6));
  } else {
    if (code_point < 0x10000) {
      append(0xe0 | (code_point >> 12));
    } else {
      append(0xf0 | (code_point >> 18));
      append(0x80 | ((code_point >> 12) & 0x3f));
    }
    append(0x80 | ((code_point >> 6) & 0x3f));
  }
  append(0x80 | (code_point & 0x3f));
}

}  // namespace coxswain
