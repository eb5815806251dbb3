#include "rl/response_scores.h"

#include <iterator>

#include "rl/episode_batch.h"
#include "rl/roll_out.h"

namespace coxswain {

ResponseScores::ResponseScores(const Config& config, std::vector<std::vector<std::int32_t>> prompts, Model& policy,
                               Communicator& world, Backend& backend)
    : config_(config),
      prompts_(std::move(prompts)),
      reward_grid_(world, config_.reward_grid),
      reward_(config_.reward, reward_grid_, backend),
      generator_(policy, config_.generator) {}

double ResponseScores::mean() {
  std::vector<GenerationRequest> requests;
  for (const std::vector<std::int32_t>& prompt : prompts_) requests.push_back({prompt, std::ssize(requests), 0});
  Rollout rollout = roll_out(generator_, requests, config_.sampling);
  const std::vector<float> outputs = reward_.outputs(whole_rollout(rollout, config_.micro, config_.length));
  take_scores(outputs, row_length(rollout, config_.length), rollout);
  double sum = 0;
  for (const Episode& episode : rollout.episodes) sum += static_cast<double>(episode.score);
  return sum / static_cast<double>(rollout.episodes.size());
}

}  // namespace coxswain
