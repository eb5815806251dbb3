// Scores of whole sequences: what a scalar head says at the last token of each.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "rl/comparison_batch.h"
#include "train/global_batch.h"

namespace coxswain {

struct ScoringBatch {
  int chunk = 0;   // sequences of one forward pass over the grid
  int micro = 0;   // sequences of a micro-batch
  int length = 0;  // that sequences are padded to
};

using ForwardPass = std::function<std::vector<float>(const GlobalBatch&)>;  // Evaluator::outputs of some model

// Collective over the world; the same on every rank.
std::vector<double> score_sequences(const ForwardPass& outputs, std::span<const TokenSequence> sequences,
                                    const ScoringBatch& batch);

struct ScoreMoments {
  double mean = 0;
  double deviation = 0;  // of the population
};
ScoreMoments moments_of(std::span<const double> scores);

}  // namespace coxswain
