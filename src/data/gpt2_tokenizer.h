// GPT-2's byte-level byte-pair encoding (Radford et al. 2019), from the published vocab.json and merges.txt.
//
//   text -> words, by the published regular expression (word_splitter.h)
//   word -> its bytes, each a token -> the pair of neighbours with the lowest rank in merges.txt is merged, leftmost
//   first, until no neighbours are in the table.
#pragma once

#include <array>
#include <filesystem>
#include <unordered_map>

#include "data/tokenizer.h"
#include "data/word_splitter.h"

namespace coxswain {

class Gpt2Tokenizer : public Tokenizer {
 public:
  Gpt2Tokenizer(const std::filesystem::path& vocabulary_file, const std::filesystem::path& merges_file);

  using Tokenizer::encode;
  std::string name() const override { return "gpt2"; }
  std::string hash() const override { return hash_; }
  int vocabulary_size() const override { return static_cast<int>(bytes_.size()); }
  std::int32_t end_of_document() const override { return end_of_document_; }
  void encode(std::string_view text, std::vector<std::int32_t>& ids) override;
  std::string decode(std::span<const std::int32_t> ids) const override;
  bool can_cut(std::string_view text, std::size_t position) const override;

 private:
  struct Merge {
    std::int32_t rank;
    std::int32_t token;
  };
  using Ids = std::vector<std::int32_t>;

  void read_vocabulary(const std::filesystem::path& path);
  void read_merges(const std::filesystem::path& path);
  void compute_hash();
  const Merge* find(std::int32_t left, std::int32_t right) const;
  void merge_short(Ids& word) const;
  void merge_long(Ids& word) const;
  void encode_word(std::string_view word, Ids& ids);

  std::vector<std::string> bytes_;                          // of each token
  std::unordered_map<std::string, std::int32_t> token_of_;  // by bytes
  std::array<std::int32_t, 256> byte_token_{};
  std::unordered_map<std::uint64_t, Merge> merges_;  // by left token << 32 | right token
  std::vector<std::uint64_t> merge_order_;           // the keys by rank
  std::int32_t end_of_document_ = -1;
  std::string hash_;
  WordSplitter splitter_;
  struct ViewHash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, Ids, ViewHash, std::equal_to<>> cache_;  // of words; emptied when full
};

}  // namespace coxswain
