#include "rl/advantages.h"

#include <cmath>

#include "rl/response_check.h"

namespace coxswain {

void estimate_advantages(Rollout& rollout, double discount, double lambda) {
  for (Episode& episode : rollout.episodes) {
    check_response(episode, {{"rewards", &episode.rewards}, {"values", &episode.values}});
    const std::size_t tokens = episode.values.size();
    episode.advantages.resize(tokens);
    episode.returns.resize(tokens);
    double next_value = 0, advantage = 0;
    for (std::size_t j = tokens; j-- > 0;) {
      const double value = episode.values[j];
      advantage = episode.rewards[j] + discount * next_value - value + discount * lambda * advantage;
      next_value = value;
      episode.advantages[j] = static_cast<float>(advantage);
      episode.returns[j] = static_cast<float>(advantage + value);
    }
  }
}

void whiten(Rollout& rollout, std::vector<float> Episode::*numbers, WhitenedMean kind) {
  constexpr double kEpsilon = 1e-8;
  double count = 0, sum = 0, squares = 0;
  for (const Episode& episode : rollout.episodes) {
    count += static_cast<double>((episode.*numbers).size());
    for (const double x : episode.*numbers) sum += x;
  }
  if (count == 0) return;
  const double mean = sum / count;
  for (const Episode& episode : rollout.episodes)
    for (const double x : episode.*numbers) squares += (x - mean) * (x - mean);
  const double scale = 1 / std::sqrt(squares / count + kEpsilon), shift = kind == WhitenedMean::kept ? mean : 0;
  for (Episode& episode : rollout.episodes)
    for (float& x : episode.*numbers) x = static_cast<float>((x - mean) * scale + shift);
}

}  // namespace coxswain
