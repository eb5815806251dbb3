#include "data/byte_characters.h"

#include <unordered_map>

#include "data/utf8.h"

namespace coxswain {

const std::array<char32_t, 256>& byte_characters() {
  static const std::array<char32_t, 256> table = [] {
    std::array<char32_t, 256> characters{};
    char32_t next = 256;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool visible = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      characters[byte] = visible ? byte : next++;
    }
    return characters;
  }();
  return table;
}

bool bytes_of_characters(std::string_view text, std::string& bytes) {
  static const std::unordered_map<char32_t, char> byte_of = [] {
    std::unordered_map<char32_t, char> map;
    for (int byte = 0; byte < 256; ++byte) {
      map.emplace(byte_characters()[static_cast<std::size_t>(byte)], static_cast<char>(byte));
    }
    return map;
  }();
  bytes.clear();
  for (std::size_t i = 0; i < text.size();) {
    const int length = utf8_length(text, i);
    if (length == 0) return false;
    const auto found = byte_of.find(utf8_code_point(text, i));
    if (found == byte_of.end()) return false;
    bytes.push_back(found->second);
    i += static_cast<std::size_t>(length);
  }
  return true;
}

std::string characters_of_bytes(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    const char32_t character = byte_characters()[static_cast<unsigned char>(byte)];
    if (character < 0x80) {
      text.push_back(static_cast<char>(character));
    } else {  // two bytes: the table ends below U+0200
      text.push_back(static_cast<char>(0xc0 | (character >> 6)));
      text.push_back(static_cast<char>(0x80 | (character & 0x3f)));
    }
  }
  return text;
}

}  // namespace coxswain
