// Lines and records that phases tokenize and vocabulary leave out of their text, block by block on every rank, brought
// together: counted by reason, and of each reason where the first few stand. The same for any number of ranks.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "data/drop_report.h"

namespace coxswain {

class TextBlocks;

struct LeftOutLine {
  std::int64_t file = 0, place = 0;  // which of the input's files, and the byte in it that the record begins with
  std::string reason;                // one of few
  std::string why;                   // more of it; may be empty
};

class LeftOutLines {
 public:
  void add(const std::vector<LeftOutLine>& lines);  // of one block; blocks come in their order
  std::string table() const;                        // as text that can be sent

 private:
  friend DropReport join(const std::vector<std::string>& tables, const TextBlocks& text);
  struct Reason {
    std::int64_t count = 0;
    std::vector<LeftOutLine> first;
  };
  std::map<std::string, Reason> reasons_;
};

// Of all ranks' tables. Looks into the files for the numbers of lines.
DropReport join(const std::vector<std::string>& tables, const TextBlocks& text);

// "\n3 records left out:" and the report below it, or nothing.
std::string left_out_text(const DropReport& report);

}  // namespace coxswain
