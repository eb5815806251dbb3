#include "data/tokenizer.h"

#include "data/byte_tokenizer.h"
#include "data/gpt2_tokenizer.h"

namespace coxswain {

std::unique_ptr<Tokenizer> make_tokenizer(const DataConfig& config) {
  if (config.tokenizer == TokenizerKind::bytes) return std::make_unique<ByteTokenizer>();
  return std::make_unique<Gpt2Tokenizer>(config.vocabulary_file, config.merges_file);
}

}  // namespace coxswain
