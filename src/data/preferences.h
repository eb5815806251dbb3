// Comparisons as tokens: K responses of one prompt with their ranks; what `reward` trains on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/reading.h"

namespace coxswain {

struct Comparison {
  std::vector<std::int32_t> prompt;
  std::vector<std::vector<std::int32_t>> responses;  // two or more, stop included
  std::vector<int> ranks;                            // beside the responses: smaller is better, equal is a tie
  std::string labeler, source;                       // empty: not given
};

struct Comparisons {
  std::vector<Comparison> records;  // in the order of the files
  ReadCounts counts;                // responses that were left out of a comparison are counted in `dropped` as well
};

// Collective. Responses that are empty, or too long for reading.most_tokens behind their prompt, are left out; then
// comparisons of fewer than two responses, of the same response twice, and of ties alone. Throws Error(data) if none
// is left.
Comparisons read_comparisons(const Reading& reading);

// The same on text, as phase prepare does it: `why` says for each response why it goes, or nothing. Throws
// UnusableRecord for a comparison that is none any more; adds the responses to `dropped`.
void leave_out_responses(Record& record, const std::vector<std::string>& why, const std::string& place,
                         DropReport& dropped);

// Of all tokens and ranks, in their order.
std::string content_hash(const std::vector<Comparison>& comparisons);

}  // namespace coxswain
