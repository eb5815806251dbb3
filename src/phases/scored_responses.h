// Responses with scores, of this program or of any other judge, and how one policy's compare with another's.
#pragma once

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
  std::vector<std::string> prompts, places;  // places: "file:line"
  std::vector<double> scores;
  std::vector<double> tokens, bytes;  // of the response; tokens: -1 where the line does not tell
};

// JSONL with `prompt`, `score`, and `tokens` (a number or a list) or `response` for the length. Collective.
ScoredLines read_scored_lines(const RecordFiles& files, Communicator& world, Log& log);

// Two sides' responses to the same prompts, one against one: the first to a prompt against the first of the other side,
// the second against the second (several samples of a prompt), in the order of `ours`. What has no counterpart is left
// out. Lengths are in tokens where all of these lines tell them, else all in bytes.
struct PairedResponses {
  ScoredResponses ours, theirs;
  bool in_tokens = false;
  DropReport left_out, their_left_out;
};
// The paths are for the message of Error(data) where no prompt is common.
PairedResponses pair_up(const ScoredLines& ours, const ScoredLines& theirs, const std::string& our_paths,
                        const std::string& their_paths);

struct WinRates {
  Proportion plain;
  LengthControlled length_controlled;
};
WinRates compare(const ScoredResponses& ours, const ScoredResponses& theirs);

}  // namespace coxswain
