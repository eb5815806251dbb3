// Samples responses from a model in its training layout. Collective over the world.
//
// A token is keyed by (seed, step, prompt, sample, position): a response does not depend on the grid, on the order of
// the requests or on what is generated beside it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/tokenizer.h"
#include "model/model.h"

namespace coxswain {

struct GenerationRequest {
  std::vector<std::int32_t> prompt;  // at least one token, and fewer than the generator's context
  std::int64_t prompt_index = 0;     // with `sample`, what the random numbers are keyed by
  std::int64_t sample = 0;           // which of several responses to one prompt
};

enum class FinishReason { stop, length };  // by a stop token or sequence, or by the largest length
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
};

struct GeneratorConfig {
  int slots = 32;          // responses that a data rank works on at once
  int context = 0;         // prompt and response together; 0: the model's
  int prompt_chunk = 256;  // prompt tokens that go through the model at once

  void check(const ModelConfig& model) const;
};

class Generator {
 public:
  Generator(Model& model, const GeneratorConfig& config);

  // In the order of the requests, the same on every rank.
  std::vector<GeneratedResponse> respond(const std::vector<GenerationRequest>& requests, const Sampling& sampling);
  void release() {}  // gives the cache's memory back to the system; the next respond() takes it again

 private:
  GeneratedResponse respond_to(const GenerationRequest& request, const Sampling& sampling);
  std::vector<float> next_logits(const std::vector<std::int32_t>& text);  // on the last stage; empty elsewhere

  Model& model_;
  GeneratorConfig config_;
};

// One token of softmax(logits / temperature) by inversion of `uniform` in [0, 1), tokens in order, in double.
std::int32_t sample_token(const std::vector<float>& logits, double temperature, double uniform);

}  // namespace coxswain
