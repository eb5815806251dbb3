// What generation is asked for and what it gives: requests, the rules of sampling, responses.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/tokenizer.h"

namespace coxswain {

struct GenerationRequest {
  std::vector<std::int32_t> prompt;  // at least one token, and fewer than the generator's context
  std::int64_t prompt_index = 0;     // with `sample`, what the random numbers are keyed by
  std::int64_t sample = 0;           // which of several responses to one prompt
};

enum class FinishReason { stop, length };  // by a stop token, sequence or text; by the largest length or the context
const char* name_of(FinishReason reason);

struct GeneratedResponse {
  std::vector<std::int32_t> tokens;  // with the stop token or sequence, if it ended so
  double log_probability = 0;        // sum of log softmax(logits)[token]: temperature 1, nothing cut off
  FinishReason finish_reason = FinishReason::length;
};

struct Sampling {
  std::uint64_t seed = 1;
  std::int64_t step = 0;     // so that iterations of PPO differ
  double temperature = 1.0;  // 0: the likeliest token always
  std::int64_t top_k = 0;    // of the k likeliest tokens only; 0: of all
  double top_p = 1.0;        // of the fewest likeliest tokens that have this probability together, after top_k
  int min_new_tokens = 0;    // before it is reached, stop tokens are not drawn and stop sequences do not count
  int max_new_tokens = 128;
  std::vector<std::int32_t> stop_tokens;
  std::vector<std::vector<std::int32_t>> stop_sequences;
  std::vector<std::string> stop_texts;   // in what `tokenizer` makes of the response
  const Tokenizer* tokenizer = nullptr;  // for stop_texts

  void check(int vocabulary) const;  // throws std::invalid_argument
};

// In [0, 1), for the token at `position` of a response: keyed by seed, step, prompt and sample.
double sampling_uniform(const Sampling& sampling, const GenerationRequest& request, std::size_t position);

// Whether the newest token ends the response.
bool is_stopped(const std::vector<std::int32_t>& response, const Sampling& sampling);
// Stop tokens may not be drawn for the token at `position` of a response: a single token that is a whole stop sequence
// counts as one.
bool bans_stops(const Sampling& sampling, std::size_t position);
std::vector<std::int32_t> banned_tokens(const Sampling& sampling);

}  // namespace coxswain
