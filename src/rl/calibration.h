// Whether a reward model's sigma(r_better - r_worse) can be taken for the chance that people prefer the one to the
// other.
//
// A comparison is given by its margin, the score of the preferred response less that of the other. The model's pick has
// confidence sigma(|margin|) in [1/2, 1] and is right if the margin is positive; a margin of 0 is half right.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "rl/proportion.h"

namespace coxswain {

// Pairs of responses, those of one prompt's responses behind each other.
struct JudgedPairs {
  std::vector<double> margins;
  std::vector<std::int64_t> comparisons;  // whose pair it is
};

struct ReliabilityBin {
  double low = 0, high = 0;  // of confidence
  double mean_confidence = 0;
  Proportion accuracy;
};

// Bins of equal width over [1/2, 1]; a confidence on a border falls into the upper one. Intervals as in accuracy().
// Throws std::invalid_argument for a margin that is not a number.
std::vector<ReliabilityBin> reliability(const JudgedPairs& pairs, int bins);

// Mean over the comparisons of |accuracy - mean confidence| of their bin (Naeini et al. 2015; Guo et al. 2017).
double expected_calibration_error(const std::vector<ReliabilityBin>& bins);

// Share of pairs ranked as people did. The pairs of one comparison are not independent: the interval is that of
// clusters.
Proportion accuracy(const JudgedPairs& pairs);
std::map<std::string, Proportion> accuracy_by_group(const JudgedPairs& pairs, std::span<const std::string> groups);

}  // namespace coxswain
