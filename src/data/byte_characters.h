// How GPT-2's published files write bytes: each as a visible character, itself if it is one in Latin-1, else the next
// free one from U+0100 on.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace coxswain {

const std::array<char32_t, 256>& byte_characters();

// Back to bytes; false if the text has a character that stands for none.
bool bytes_of_characters(std::string_view text, std::string& bytes);
std::string characters_of_bytes(std::string_view bytes);  // UTF-8

}  // namespace coxswain
