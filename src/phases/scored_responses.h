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
  std::vector<std::string> places{};    // "file:line" of each prompt
};

// JSONL with `prompt`, `score`, and `tokens` (a number or a list) or `response` for the length. Collective.
ScoredResponses read_scored_responses(const RecordFiles& files, Communicator& world, Log& log);

// Two sides' responses to the same prompts, one against one: the first to a prompt against the first of the other side,
// the second against the second (several samples of a prompt), in the order of `ours`. What has no counterpart is left
// out.
struct PairedResponses {
  ScoredResponses ours, theirs;
  DropReport left_out, their_left_out;
};
// The paths are for the message of Error(data) where no prompt is common.
PairedResponses pair_up(const ScoredResponses& ours, const ScoredResponses& theirs, const std::string& our_paths,
                        const std::string& their_paths);

struct WinRates {
  Proportion plain;
  LengthControlled length_controlled;
};
WinRates compare(const ScoredResponses& ours, const ScoredResponses& theirs);

}  // namespace coxswain
