#include "data/tokenizer_identity.h"

#include <fmt/format.h>

#include "base/error.h"

namespace coxswain {

void visit_tokenizer(Archive& archive, const TokenizerIdentity& tokenizer, const std::string& whose) {
  const std::string name = "tokenizer/name", hash = "tokenizer/hash";
  TokenizerIdentity stored = tokenizer;
  if (archive.reading() && !(archive.has(name) && archive.has(hash))) return;
  archive.value(name, stored.name);
  archive.value(hash, stored.hash);
  if (!archive.reading() || stored.hash.empty() || tokenizer.hash.empty() || stored.hash == tokenizer.hash) return;
  throw Error(ExitCode::data,
              fmt::format("{} has learned the tokens of another tokenizer: {} ({}), and here it is {} ({}); give "
                          "[data] tokenizer and its files as the model's run had them",
                          whose, stored.name, stored.hash, tokenizer.name, tokenizer.hash));
}

void require_same_tokens(const TextIdentity& text, const std::string& hash, const std::string& whose) {
  if (text.tokenizer_hash.empty() || hash.empty() || text.tokenizer_hash == hash) return;
  throw Error(ExitCode::data,
              fmt::format("{} = {} was made by another tokenizer than {}: tokenize it with the same one", text.key,
                          text.path, whose));
}

}  // namespace coxswain
