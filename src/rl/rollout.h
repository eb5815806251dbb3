// What the policy did, on the host and the same on every rank: prompts with their responses, and what the models said
// of each token of a response. Token j of a response was chosen in the state after prompt and tokens 0 ... j - 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace coxswain {

struct Episode {
  std::vector<std::int32_t> tokens;  // prompt, then response
  int prompt_length = 0;
  bool ended = false;  // by a stop token or a stop sequence, not by the limit of length
  float score = 0;     // of the reward model, for the whole response
  // all [response tokens]
  std::vector<float> log_probs;            // of the policy that sampled, by the training path
  std::vector<float> reference_log_probs;  // of the model that the policy started as
  std::vector<float> values;               // of the state before the token
  std::vector<float> rewards, advantages, returns;

  int response_length() const { return static_cast<int>(tokens.size()) - prompt_length; }
};

struct Rollout {
  std::vector<Episode> episodes;
};

}  // namespace coxswain
