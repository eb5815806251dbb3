#include "data/tokenizer.h"

#include <fmt/format.h>

#include "base/error.h"
#include "data/byte_tokenizer.h"
#include "data/gpt2_tokenizer.h"

namespace coxswain {

std::unique_ptr<Tokenizer> make_tokenizer(const DataConfig& config) {
  if (config.tokenizer == TokenizerKind::bytes) return std::make_unique<ByteTokenizer>();
  return std::make_unique<Gpt2Tokenizer>(config.vocabulary_file, config.merges_file);
}

void check_vocabulary(const Tokenizer& tokenizer, int vocabulary) {
  if (tokenizer.vocabulary_size() <= vocabulary) return;
  throw Error(ExitCode::usage, fmt::format("[model] vocabulary = {} is smaller than the tokenizer's {} tokens",
                                           vocabulary, tokenizer.vocabulary_size()));
}

}  // namespace coxswain
