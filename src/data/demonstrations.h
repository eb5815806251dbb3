// Demonstrations as tokens with the mask of what is learned: what `sft` trains on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/reading.h"

namespace coxswain {

struct Demonstration {
  std::vector<std::int32_t> tokens;       // prompt and response, stop included
  std::vector<std::uint8_t> is_response;  // 1: a token of a response that is learned, its stop included
  std::string source, user;               // empty: not given
};

struct Demonstrations {
  std::vector<Demonstration> records;  // in the order of the files
  ReadCounts counts;
};

// Collective. Conversations of more than reading.most_tokens tokens are left out. Throws Error(data) if none is left.
Demonstrations read_demonstrations(const Reading& reading);

}  // namespace coxswain
