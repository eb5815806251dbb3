#include "data/byte_tokenizer.h"

#include <fmt/format.h>

#include "base/error.h"

namespace coxswain {

void ByteTokenizer::encode(std::string_view text, std::vector<std::int32_t>& ids) {
  ids.reserve(ids.size() + text.size());
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
}

std::string ByteTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  text.reserve(ids.size());
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= kVocabulary) {
      throw Error(ExitCode::data, fmt::format("token {} is outside the byte vocabulary, 0 to {}", id, kVocabulary - 1));
    }
    if (id == end_of_document()) {
      text += kEndOfDocumentText;
    } else {
      text.push_back(static_cast<char>(id));
    }
  }
  return text;
}

}  // namespace coxswain
