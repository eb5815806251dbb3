// Learns a byte-level byte-pair encoding from text (Sennrich et al. 2016; on bytes: Radford et al. 2019): beginning
// with the 256 bytes, the pair of neighbours that is most frequent inside words becomes a token, until there are as
// many as wanted. Of pairs that are equally frequent the one of the earlier tokens is merged. What comes out is written
// in GPT-2's published form, which data.tokenizer = gpt2 reads.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data/tokenizer.h"
#include "data/word_splitter.h"

namespace coxswain {

using WordCounts = std::map<std::string, std::int64_t, std::less<>>;

// Stands where text is tokenized, and counts its words instead.
class WordCounter final : public Tokenizer {
 public:
  std::string name() const override { return "words"; }
  std::string hash() const override { return ""; }
  int vocabulary_size() const override { return 0; }
  std::int32_t end_of_document() const override { return 0; }
  void encode(std::string_view text, std::vector<std::int32_t>& ids) override;  // no ids
  std::string decode(std::span<const std::int32_t>) const override { return ""; }
  bool can_cut(std::string_view text, std::size_t position) const override {
    return WordSplitter::can_cut(text, position);
  }

  const WordCounts& counts() const { return counts_; }

 private:
  WordSplitter splitter_;
  WordCounts counts_;
};

struct BytePairs {
  std::vector<std::string> tokens;                            // bytes of each: the 256 bytes, then what the merges make
  std::vector<std::pair<std::int32_t, std::int32_t>> merges;  // of two tokens, in order

  std::string vocabulary_json() const;  // GPT-2's vocab.json; the last token is <|endoftext|>
  std::string merges_text() const;      // and merges.txt
};

// `vocabulary`: tokens, <|endoftext|> included; fewer where the words have no more pairs.
BytePairs learn_byte_pairs(const WordCounts& words, int vocabulary);

}  // namespace coxswain
