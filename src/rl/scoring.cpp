#include "rl/scoring.h"

#include <algorithm>
#include <cmath>

namespace coxswain {

std::vector<double> score_sequences(const ForwardPass& outputs, std::span<const TokenSequence> sequences,
                                    const ScoringBatch& batch) {
  std::vector<double> scores;
  for (std::size_t begin = 0; begin < sequences.size(); begin += static_cast<std::size_t>(batch.chunk)) {
    const auto chunk =
        sequences.subspan(begin, std::min(static_cast<std::size_t>(batch.chunk), sequences.size() - begin));
    GlobalBatch work;
    work.size = static_cast<int>(chunk.size());
    work.micro = batch.micro;
    work.load = [&](std::int64_t first, int count) { return sequence_batch(chunk, first, count, batch.length); };
    const std::vector<float> all = outputs(work);
    for (std::size_t i = 0; i < chunk.size(); ++i)
      scores.push_back(all[i * static_cast<std::size_t>(batch.length) + chunk[i].size() - 1]);
  }
  return scores;
}

ScoreMoments moments_of(std::span<const double> scores) {
  ScoreMoments moments;
  const auto count = static_cast<double>(scores.size());
  for (const double score : scores) moments.mean += score / count;
  for (const double score : scores) moments.deviation += (score - moments.mean) * (score - moments.mean) / count;
  moments.deviation = std::sqrt(moments.deviation);
  return moments;
}

}  // namespace coxswain
