// Responses with scores, of this program or of any other judge, and how one policy's compare with another's.
#pragma once

#include <string>
#include <vector>

#include "data/json_lines.h"
#include "rl/win_rate.h"

namespace coxswain {

struct ScoredResponses {
  std::vector<double> scores, lengths;  // one a prompt; lengths in tokens where they are known, else in bytes
  std::vector<std::string> prompts{};   // empty where both sides are known to have the same ones
};

// JSONL with `prompt`, `score`, and `tokens` (a number or a list) or `response` for the length. Collective.
ScoredResponses read_scored_responses(const RecordFiles& files, Communicator& world, Log& log);

// Throws Error(data) naming the first prompt that differs.
void check_same_prompts(const ScoredResponses& ours, const ScoredResponses& theirs, const std::string& our_path,
                        const std::string& their_path);

struct WinRates {
  Proportion plain;
  LengthControlled length_controlled;
};
WinRates compare(const ScoredResponses& ours, const ScoredResponses& theirs);

}  // namespace coxswain
