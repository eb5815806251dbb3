// One token a byte, and token 256 for the end of a document: a vocabulary of 257 that needs no files.
#pragma once

#include "data/tokenizer.h"

namespace coxswain {

class ByteTokenizer : public Tokenizer {
 public:
  static constexpr int kVocabulary = 257;

  using Tokenizer::encode;
  std::string name() const override { return "bytes"; }
  std::string hash() const override { return "bytes-257"; }
  int vocabulary_size() const override { return kVocabulary; }
  std::int32_t end_of_document() const override { return kVocabulary - 1; }
  void encode(std::string_view text, std::vector<std::int32_t>& ids) override;
  std::string decode(std::span<const std::int32_t> ids) const override;
  bool can_cut(std::string_view, std::size_t) const override { return true; }
};

}  // namespace coxswain
