// Text to token ids and back, for any bytes: decode(encode(text)) == text, valid UTF-8 or not.
//
// encode() reads its argument as ordinary text: the characters "<|endoftext|>" in a document are a dozen ordinary
// characters, so no document can end itself. The end-of-document token is put in by whoever joins documents.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/config.h"

namespace coxswain {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string name() const = 0;
  virtual std::string hash() const = 0;  // two tokenizers with the same hash give the same ids
  virtual int vocabulary_size() const = 0;
  virtual std::int32_t end_of_document() const = 0;

  // Appends the ids of `text` to `ids`. Keeps a cache: one thread at a time.
  virtual void encode(std::string_view text, std::vector<std::int32_t>& ids) = 0;
  // The bytes of the ids; the end-of-document token gives "<|endoftext|>". An id outside the vocabulary is an
  // Error(data).
  virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
  // Whether text may be cut before `position` (0 < position < size) so that the ids of the two pieces, one after the
  // other, are the ids of the whole. Looks at a few bytes around the position only; `false` is always a safe answer.
  virtual bool can_cut(std::string_view text, std::size_t position) const = 0;

  std::vector<std::int32_t> encode(std::string_view text) {
    std::vector<std::int32_t> ids;
    encode(text, ids);
    return ids;
  }
};

inline constexpr std::string_view kEndOfDocumentText = "<|endoftext|>";

// data.tokenizer: "bytes", or "gpt2" from data.vocabulary_file and data.merges_file.
std::unique_ptr<Tokenizer> make_tokenizer(const DataConfig& config);

// Throws Error(usage) where the model's vocabulary does not hold the tokenizer's.
void check_vocabulary(const Tokenizer& tokenizer, int vocabulary);

}  // namespace coxswain
