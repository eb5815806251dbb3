// Where tokens come from, and how text becomes tokens.
#pragma once

#include <string>
#include <vector>

namespace coxswain {

enum class TokenizerKind { bytes, gpt2 };
enum class BadLine { stop, skip };  // what a line of a JSONL file that cannot be used does to the run

// One part of a mixture: a token file, drawn from with this weight (they need not add up to one).
struct DataSource {
  std::string path;
  double weight = 1.0;
  friend bool operator==(const DataSource&, const DataSource&) = default;
};

struct DataConfig {
  std::string source;          // token files "path" or "path:weight", separated by commas; or "synthetic"
  std::string validation;      // a token file, held out; empty: none
  bool shuffle = true;         // draw samples in a random order; false: in the order of the files
  bool document_mask = false;  // attention and positions end at document borders

  // How text is cut into tokens; pretrain finds it in the token file, tokenize and generate need it.
  TokenizerKind tokenizer = TokenizerKind::bytes;
  std::string vocabulary_file;  // GPT-2's encoder.json (vocab.json)
  std::string merges_file;      // GPT-2's vocab.bpe (merges.txt)

  BadLine on_bad_line = BadLine::stop;  // of prompts, demonstrations and comparisons

  // Phase tokenize.
  std::string input;              // text or JSONL files, separated by commas
  std::string output;             // token file to write
  std::string json_key = "text";  // field of a JSONL line that holds the document; empty: the line is a record
  std::string separator;          // between documents of a plain text; empty: a file is one document
  double validation_share = 0.0;  // share of the documents that goes to `validation` instead of `output`

  void check() const;  // what holds in every phase
  bool synthetic() const { return source == "synthetic"; }

  friend bool operator==(const DataConfig&, const DataConfig&) = default;
};

// How a conversation becomes text (data/conversation.h); the defaults are hh-rlhf's form. All empty but `stop`: a
// prompt and its response stand one after the other, as InstructGPT had them. `<|endoftext|>` in one of these is that
// token, which no text from a file can contain.
struct ChatConfig {
  std::string system_prefix;
  std::string user_prefix = "\n\nHuman: ";
  std::string turn_end;  // behind a system's or a user's text
  std::string assistant_prefix = "\n\nAssistant:";
  std::string response_start = " ";  // part of the response: GPT-2's words begin with their space
  std::string stop;                  // behind a response; empty: the tokenizer's end-of-document token

  void check() const;

  friend bool operator==(const ChatConfig&, const ChatConfig&) = default;
};

// Of texts that are shown as they stand, ended by the end of a document.
ChatConfig without_markers();

// "a.h5:0.6, b.h5:0.4" -> paths and weights. Throws Error(usage) naming [data] source.
std::vector<DataSource> parse_sources(const std::string& list);
std::vector<std::string> parse_paths(const std::string& list);  // "a.txt, b.txt"

}  // namespace coxswain
