// Cuts text into the words of GPT-2's tokenizer:
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// Bytes that are not UTF-8 take no part in the match: the text between them is matched as if it stood alone, and each
// unbroken run of them is a word of its own. So every byte of the input is in exactly one word.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "data/pattern.h"

namespace coxswain {

class WordSplitter {
 public:
  WordSplitter();

  // Appends the words, views into `text`, in order.
  void split(std::string_view text, std::vector<std::string_view>& words);
  // Whether the words of text[0, position) and of text[position, size) are those of the whole: known to be so before
  // the last white space of a run, if a visible character follows it.
  static bool can_cut(std::string_view text, std::size_t position);

 private:
  void split_valid(std::string_view text, std::vector<std::string_view>& words);
  Pattern pattern_;
};

}  // namespace coxswain
