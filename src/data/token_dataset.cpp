#include "data/token_dataset.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/random.h"

namespace coxswain {

TokenDataset::TokenDataset(const std::string& path, int length, int vocabulary)
    : file_(path), length_(length), windows_((file_.header().tokens - 1) / length) {
  const TokenFileHeader& header = file_.header();
  if (header.vocabulary > vocabulary) {
    throw Error(ExitCode::data, fmt::format("{} was made by tokenizer {} with {} tokens, [model] vocabulary = {} is "
                                            "too small: make it {}",
                                            path, header.tokenizer, header.vocabulary, vocabulary, header.vocabulary));
  }
  if (windows_ < 1) {
    throw Error(ExitCode::data, fmt::format("{} has {} tokens; one sample of [batch] length = {} needs {}", path,
                                            header.tokens, length, length + 1));
  }
}

void TokenDataset::read_window(std::int64_t window, std::span<std::int32_t> tokens) const {
  file_.read(window * length_, tokens);
}

std::int64_t TokenDataset::window_of(const RandomKey& key, std::int64_t draw) const {
  const RandomKey epoch_key{key.seed, key.stream + static_cast<std::uint64_t>(draw / windows_)};
  const Permutation order(epoch_key, static_cast<std::uint64_t>(windows_));
  return static_cast<std::int64_t>(order(static_cast<std::uint64_t>(draw % windows_)));
}

}  // namespace coxswain
