// What the ranks of a tokenize run have written, put together: each rank appends the tokens and document ends of its
// blocks to two temporary files of its own, and one rank joins them in the order of the blocks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/text_blocks.h"
#include "io/disk_file.h"
#include "io/token_file.h"

namespace coxswain {

class PieceWriter {
 public:
  PieceWriter(const std::filesystem::path& output, int rank, int vocabulary);
  PieceWriter(const PieceWriter&) = delete;
  PieceWriter& operator=(const PieceWriter&) = delete;
  ~PieceWriter();  // removes both files

  void append(std::int64_t block, const EncodedBlock& encoded);
  std::string table() const;  // of the blocks written, for join_pieces

 private:
  int vocabulary_ = 0;
  DiskFile tokens_, ends_;
  std::int64_t token_bytes_ = 0, end_bytes_ = 0;
  std::string table_;
};

struct JoinOptions {
  std::filesystem::path output;
  std::filesystem::path validation;  // gets the last tokens
  double validation_share = 0;       // of all tokens; cut at a document border where one is near
  TokenFileHeader header;            // without the counts
};

struct JoinedFiles {
  TokenFileHeader output, validation;  // documents and tokens of each; validation.tokens is 0 without a share
};

// tables[r] is what rank r's table() gave. Files of all ranks must be in sight.
JoinedFiles join_pieces(const JoinOptions& options, const std::vector<std::string>& tables);

}  // namespace coxswain
