// Input texts in blocks that can be tokenized apart: the ids of all blocks, one after the other, are those of the
// whole.
//
// Block borders depend on the files alone. Block k of a file begins at the first place at or after byte k x block_bytes
// where the text may be cut: in JSONL after a line; in plain text where the tokenizer allows it, inside a document and
// not at a separator. So every rank finds the borders of its blocks without reading the others.
//
// JSONL or one JSON array (.jsonl, .ndjson, .json): a document is the string under `json_key`, or without a key the
// whole conversation of a demonstration (of a comparison the best response) as `chat` shows it to a model. An array is
// cut between its elements, which every rank finds when it begins. Plain text: the bytes between two separators, or the
// whole file without one. Empty documents are left out. Each document ends with the end-of-document token.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/config.h"
#include "data/conversation.h"
#include "data/left_out_lines.h"
#include "data/tokenizer.h"
#include "io/disk_file.h"

namespace coxswain {

struct EncodedBlock {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> document_ends;  // in `tokens`; a document may start before the block or go on after it
  std::int64_t bytes = 0;                   // of input
  std::vector<LeftOutLine> left_out;
};

class TextBlocks {
 public:
  struct Options {
    std::string separator = "";     // of plain text
    std::string json_key = "text";  // empty: lines are records
    ChatConfig chat = {};           // of records
    BadLine on_bad_line = BadLine::stop;
    std::int64_t block_bytes = 0;  // 0: chosen by the size of all input
  };
  // Paths may have the shell's wildcards. Error(data) for a file that is missing, empty, compressed or UTF-16, and for
  // a separator that its ends of lines (CR LF) keep from being found.
  TextBlocks(const std::vector<std::string>& paths, const Options& options);

  std::int64_t blocks() const { return blocks_; }
  std::int64_t bytes() const { return bytes_; }
  std::int64_t files() const { return static_cast<std::int64_t>(files_.size()); }
  // A bad line is an Error(data) that names file, line and reason, or is left out as [data] on_bad_line says; a record
  // that cannot be used is always left out.
  EncodedBlock encode(std::int64_t block, Tokenizer& tokenizer) const;
  std::string place_of(std::int64_t file, std::int64_t place) const;  // "path:line" of a byte that a record begins with

 private:
  enum class Form { text, lines, array };
  struct Element {  // of an array
    std::int64_t place = 0, length = 0, line = 0;
  };
  struct File {
    DiskFile file;
    std::int64_t size = 0;
    std::int64_t start = 0;  // of the text, behind a byte order mark
    std::int64_t first_block = 0;
    Form form = Form::text;
    std::vector<Element> elements = {};
  };
  // What is made of one block of records.
  struct Encoding {
    const File& file;
    const ChatFormat& chat;
    Tokenizer& tokenizer;
    EncodedBlock& out;
  };
  void add_file(const std::string& path);
  void check_separator(const File& file) const;
  std::int64_t cut_at_or_after(const File& file, std::int64_t place, const Tokenizer& tokenizer) const;
  std::size_t find_cut(const File& file, std::string_view text, std::size_t first, std::size_t last,
                       const Tokenizer& tokenizer) const;
  void encode_text(std::string_view text, bool continued, bool ends, Tokenizer& tokenizer, EncodedBlock& out) const;
  EncodedBlock encode_array(const File& file, std::int64_t begin, Tokenizer& tokenizer) const;
  void encode_lines(std::int64_t start, std::string_view text, const Encoding& into) const;
  void encode_record(std::string_view text, std::int64_t place, const Encoding& into) const;
  void encode_conversations(std::string_view text, std::int64_t place, const Encoding& into) const;
  void leave_out(const Encoding& into, std::int64_t place, const std::string& reason, const std::string& why) const;

  Options options_;
  std::vector<File> files_;
  std::int64_t blocks_ = 0, bytes_ = 0;
};

// As [data] says.
TextBlocks::Options text_options(const DataConfig& data, const ChatConfig& chat);

}  // namespace coxswain
