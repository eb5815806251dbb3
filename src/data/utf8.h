// UTF-8 as Unicode 15 defines it (table 3-7): no surrogates, no overlong forms, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace coxswain {

// Bytes of the character that starts at `position`, 1 to 4; 0 if no valid character starts there.
int utf8_length(std::string_view text, std::size_t position);

// The character that starts at `position`, which must be a valid one.
char32_t utf8_code_point(std::string_view text, std::size_t position);

void append_utf8(std::string& text, char32_t code_point);

}  // namespace coxswain
