// Responses with scores, of this program or of any other judge, and how one policy's compare with another's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/json_lines.h"
#include "rl/win_rate.h"

namespace coxswain {

struct ScoredResponses {
  std::vector<double> scores, lengths;  // one a response
};

// The lines of a file.
struct ScoredLines {
  std::vector<std::string> prompts;
  std::vector<double> scores;
  std::vector<double> tokens, bytes;  // of the response; tokens: -1 where the line does not tell
};

// JSONL with `prompt`, `score`, and `tokens` (a number or a list) or `response` for the length. Collective.
ScoredLines read_scored_lines(const RecordFiles& files, Communicator& world, Log& log);

// Responses to the same prompts, in the order of the first file; of a prompt that comes several times the first with
// the first, the second with the second. Lengths are in tokens where all of these lines tell them, else all in bytes.
struct ScoredPairs {
  ScoredResponses ours, theirs;
  bool in_tokens = false;
  std::int64_t our_lines_left_out = 0, their_lines_left_out = 0;  // whose prompt the other file lacks
};
ScoredPairs pair_by_prompt(const ScoredLines& ours, const ScoredLines& theirs);

struct WinRates {
  Proportion plain;
  LengthControlled length_controlled;
};
WinRates compare(const ScoredResponses& ours, const ScoredResponses& theirs);

}  // namespace coxswain
