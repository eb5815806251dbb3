// Prompts as tokens: what `generate` and PPO respond to.
//
// JSONL or a JSON array of any kind of record (README.md); of a demonstration or a comparison its prompt is taken. A
// file with another ending than .jsonl, .ndjson or .json has one prompt a line, plain.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/reading.h"

namespace coxswain {

struct PromptRecord {
  std::vector<std::int32_t> tokens;  // ends with [chat] assistant_prefix
  std::string text;                  // as one string without [chat]: a single user's words, or a transcript
  std::string user, id, source;      // empty: not given
};

struct Prompts {
  std::vector<PromptRecord> records;  // in the order of the files
  ReadCounts counts;
};

// Collective. Prompts of more than reading.most_tokens tokens, or of none, are left out. Throws Error(data) if none is
// left.
Prompts read_prompts(const Reading& reading);

// Of all tokens, in their order.
std::string content_hash(const std::vector<PromptRecord>& prompts);

// Whether all of these files hold records, by their endings; false: plain lines. Throws Error(data) if some do and some
// do not.
bool hold_records(const std::string& paths, const std::string& key);

}  // namespace coxswain
