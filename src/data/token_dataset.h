// One token file as samples: the stream is cut into windows of `length` + 1 tokens, each starting `length` after the
// one before it (its last token is the next one's first: a target there, an input here). What is left at the end of the
// stream, less than a window, is not used.
// Draws go through all windows in a random order, then through all again in another: without replacement.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "io/token_file.h"
#include "kernels/backend.h"

namespace coxswain {

class TokenDataset {
 public:
  // Error(data) if the file has no window or more token ids than the model's vocabulary.
  TokenDataset(const std::string& path, int length, int vocabulary);

  const TokenFile& file() const { return file_; }
  std::int64_t windows() const { return windows_; }
  void read_window(std::int64_t window, std::span<std::int32_t> tokens) const;  // [length + 1]
  // The window of draw number `draw`, which is in epoch draw / windows(). The key's stream must leave its lowest 32
  // bits to the epoch.
  std::int64_t window_of(const RandomKey& key, std::int64_t draw) const;

 private:
  TokenFile file_;
  int length_ = 0;
  std::int64_t windows_ = 0;
};

}  // namespace coxswain
