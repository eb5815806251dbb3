// Which tokenizer a model's tokens come from, as part of its checkpoint: "tokenizer/name" and "tokenizer/hash".
#pragma once

#include <string>

#include "tensor/archive.h"

namespace coxswain {

struct TokenizerIdentity {
  std::string name;
  std::string hash;  // two tokenizers with the same hash give the same ids; empty: no text stands behind the tokens
};

// Every phase that trains or loads a model shows it, with its own state and with another run's weights alike. Throws
// Error(data) with both names where a model of one tokenizer meets the tokens of another. A checkpoint without the
// names (of a phase that has none) is accepted, and so are tokens without text. `whose`: for the message.
void visit_tokenizer(Archive& archive, const TokenizerIdentity& tokenizer, const std::string& whose = "the model");

// Token files say which tokenizer made them. Throws Error(data) where text under `key` has other tokens than `whose`,
// such as "[data] tokenizer = gpt2, which reads the prompts"; an empty hash on either side fits all.
struct TextIdentity {
  const char* key;
  std::string path, tokenizer_hash;
};
void require_same_tokens(const TextIdentity& text, const std::string& hash, const std::string& whose);

}  // namespace coxswain
