#include "phases/policy_sampling.h"

namespace coxswain {

Sampling policy_sampling(const GenerateConfig& generate, std::uint64_t seed, const ChatFormat& chat,
                         const Tokenizer& tokenizer) {
  Sampling sampling;
  sampling.seed = seed;
  sampling.temperature = generate.temperature;
  sampling.top_k = generate.top_k;
  sampling.top_p = generate.top_p;
  sampling.min_new_tokens = generate.min_new_tokens;
  sampling.max_new_tokens = generate.max_new_tokens;
  sampling.stop_sequences = chat.ends();
  if (!generate.stop.empty()) sampling.stop_texts = {generate.stop};
  sampling.tokenizer = &tokenizer;
  return sampling;
}

}  // namespace coxswain
