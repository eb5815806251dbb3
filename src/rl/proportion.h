// Shares and means with intervals that say how far they may be trusted. Two-sided 95 % intervals unless told.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/philox.h"

namespace coxswain {

struct Interval {
  double low = 0, high = 0;
};

struct Proportion {
  std::int64_t trials = 0;
  double share = 0;
  Interval interval;  // by Wilson; [0, 1] without trials
};

inline constexpr double kNormal95 = 1.959963984540054;  // of a standard normal, 97.5 % lie below

// Wilson's score interval (1927): good for few trials and for shares near 0 and 1. `successes` may hold halves: a tie
// counts half, which makes the interval slightly wider than it need be. Trials are taken as independent.
Proportion proportion(double successes, std::int64_t trials, double quantile = kNormal95);

// Trials that depend on each other, as the pairs of one prompt's responses do.
struct Cluster {
  double successes = 0;
  std::int64_t trials = 0;
};

// The same over clusters that are independent of each other: Wilson's interval of as many trials as would vary, were
// they independent, like these do (Kish 1965, the design effect; variance of a ratio, sum (s - share t)^2 / n^2,
// Cochran 1977, 2.13). At most all of them; where the clusters do not differ at all, as many as there are clusters.
Proportion clustered_proportion(std::span<const Cluster> clusters, double quantile = kNormal95);

// Percentile bootstrap (Efron 1979) of the mean: `resamples` times as many values as there are are drawn with
// replacement. Draw d of resample s is number s n + d of the key's sequence: no grid can change the interval.
Interval bootstrap_mean(std::span<const double> values, const RandomKey& key, int resamples = 2000,
                        double level = 0.95);

}  // namespace coxswain
