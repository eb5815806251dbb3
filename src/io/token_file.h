// A token file: the ids of many documents, one after the other, each document with its end-of-document token.
//
//   /tokens            uint16 (vocabulary up to 65536) or int32 [tokens], contiguous
//   /document_offsets  int64 [documents + 1], rising from 0 to tokens: document d is [offsets[d], offsets[d + 1])
//   attributes of /    version 1, tokenizer, tokenizer_hash, vocabulary, end_of_document,
//                      content_hash (XXH3-128 of the bytes of both datasets, in this order)
// HDF5 gives the structure. The ids themselves are read and written at their place in the file by pread and pwrite:
// every status is checked, any thread may read, and no HDF5 call is made after opening.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/disk_file.h"
#include "io/hdf5_file.h"

namespace coxswain {

struct TokenFileHeader {
  std::string tokenizer;  // "bytes", "gpt2"
  std::string tokenizer_hash;
  int vocabulary = 0;  // every id is in [0, vocabulary)
  std::int32_t end_of_document = 0;
  std::int64_t tokens = 0;
  std::int64_t documents = 0;
};

class TokenFile {
 public:
  // Checks the structure, the sizes and, of files with up to a million documents, the offsets. Any fault is an
  // Error(data) that names the file, the place, the value and what is allowed.
  explicit TokenFile(const std::filesystem::path& path);

  const TokenFileHeader& header() const { return header_; }
  const std::string& content_hash() const { return content_hash_; }
  std::string path() const { return file_.path(); }

  // out.size() tokens from `first` on. An id outside the vocabulary is an Error(data).
  void read(std::int64_t first, std::span<std::int32_t> out) const;
  std::vector<std::int64_t> document_offsets(std::int64_t first, std::int64_t count) const;
  // Reads the whole file: ids, offsets and the content hash.
  void verify() const;

 private:
  void check_offsets() const;
  [[noreturn]] void refuse(const std::string& what) const;

  DiskFile file_;
  TokenFileHeader header_;
  std::string content_hash_;
  std::int64_t tokens_at_ = 0, offsets_at_ = 0;  // bytes from the start of the file
  std::size_t token_bytes_ = 2;
};

// Writes under path.tmp; the file appears, whole, by commit(). Without it nothing is left.
class TokenFileWriter {
 public:
  TokenFileWriter(const std::filesystem::path& path, const TokenFileHeader& header);  // tokens and documents are final
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;
  ~TokenFileWriter();

  static std::size_t token_bytes(int vocabulary) { return vocabulary <= 65536 ? 2 : 4; }

  // In order: all tokens, in the stored form (uint16 or int32), then the documents' ends.
  void append_tokens(std::span<const std::byte> stored);
  void append_document_ends(std::span<const std::int64_t> ends);
  void commit();

 private:
  struct FreeHash {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  void append(std::span<const std::byte> bytes, std::int64_t start, std::int64_t& done, std::int64_t total);

  std::filesystem::path path_, temporary_;
  TokenFileHeader header_;
  hdf5::File structure_;
  DiskFile file_;
  std::int64_t tokens_at_ = 0, offsets_at_ = 0;
  std::int64_t token_bytes_done_ = 0, offset_bytes_done_ = 0;
  std::unique_ptr<XXH3_state_t, FreeHash> hash_;
  bool committed_ = false;
};

// A whole small file at once.
void write_token_file(const std::filesystem::path& path, TokenFileHeader header, std::span<const std::int32_t> tokens,
                      std::span<const std::int64_t> document_ends);

// Tokens in the stored form, appended to `bytes`.
void store_tokens(std::span<const std::int32_t> tokens, int vocabulary, std::vector<std::byte>& bytes);

}  // namespace coxswain
