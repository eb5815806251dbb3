// Input texts in blocks that can be tokenized apart: the ids of all blocks, one after the other, are those of the
// whole.
//
// Block borders depend on the files alone. Block k of a file begins at the first place at or after byte k x block_bytes
// where the text may be cut: in JSONL after a line; in plain text where the tokenizer allows it, inside a document and
// not at a separator. So every rank finds the borders of its blocks without reading the others.
//
// JSONL (.jsonl, .ndjson): a document is the string under `json_key`, or without a key the whole conversation of a
// demonstration (of a comparison the best response) as `chat` shows it to a model. Plain text: the bytes between two
// separators, or the whole file without one. Empty documents are left out. Each document ends with the end-of-document
// token.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/conversation.h"
#include "data/tokenizer.h"
#include "io/disk_file.h"

namespace coxswain {

struct EncodedBlock {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> document_ends;  // in `tokens`; a document may start before the block or go on after it
  std::int64_t bytes = 0;                   // of input
};

class TextBlocks {
 public:
  struct Options {
    std::string separator = "";     // of plain text
    std::string json_key = "text";  // empty: lines are records
    ChatConfig chat = {};           // of records
    std::int64_t block_bytes = 0;   // 0: chosen by the size of all input
  };
  // Paths may have the shell's wildcards. A file that is missing or empty is an Error(data).
  TextBlocks(const std::vector<std::string>& paths, const Options& options);

  std::int64_t blocks() const { return blocks_; }
  std::int64_t bytes() const { return bytes_; }
  std::int64_t files() const { return static_cast<std::int64_t>(files_.size()); }
  // A bad line is an Error(data) that names file, line and reason.
  EncodedBlock encode(std::int64_t block, Tokenizer& tokenizer) const;

 private:
  struct File {
    DiskFile file;
    std::int64_t size = 0;
    std::int64_t first_block = 0;
    bool json_lines = false;
  };
  void add_file(const std::string& path);
  std::int64_t cut_at_or_after(const File& file, std::int64_t place, const Tokenizer& tokenizer) const;
  std::size_t find_cut(const File& file, std::string_view text, std::size_t first, std::size_t last,
                       const Tokenizer& tokenizer) const;
  void encode_text(std::string_view text, bool continued, bool ends, Tokenizer& tokenizer, EncodedBlock& out) const;
  void encode_lines(const File& file, std::int64_t start, std::string_view text, Tokenizer& tokenizer,
                    EncodedBlock& out) const;
  void encode_line(std::string_view line, const ChatFormat& chat, Tokenizer& tokenizer, EncodedBlock& out) const;

  Options options_;
  std::vector<File> files_;
  std::int64_t blocks_ = 0, bytes_ = 0;
};

}  // namespace coxswain
