#include "rl/roll_out.h"

#include <utility>

namespace coxswain {

Rollout roll_out(Generator& generator, const std::vector<GenerationRequest>& requests, const Sampling& sampling) {
  const std::vector<GeneratedResponse> responses = generator.respond(requests, sampling);
  generator.release();
  Rollout rollout;
  for (std::size_t i = 0; i < responses.size(); ++i) {
    Episode episode;
    episode.tokens = requests[i].prompt;
    episode.prompt_length = static_cast<int>(episode.tokens.size());
    episode.tokens.insert(episode.tokens.end(), responses[i].tokens.begin(), responses[i].tokens.end());
    episode.ended = responses[i].finish_reason == FinishReason::stop;
    rollout.episodes.push_back(std::move(episode));
  }
  return rollout;
}

}  // namespace coxswain
