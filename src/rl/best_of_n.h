// Best of n: sample n responses, keep the one that a reward model scores highest. The baseline that PPO is held
// against.
#pragma once

#include <span>

namespace coxswain {

// KL(best of n || policy) = log n - (n - 1) / n in nats (Stiennon et al. 2020): exact where no two
// responses are alike, an upper bound otherwise.
double best_of_n_divergence(double n);

// The mean of `measured` over the response with the highest `proxy` score among n, without bias, from N >= n samples
// of one prompt (Nakano et al. 2021, arXiv 2112.09332): the mean over all subsets of n samples, which is
//
//   sum over i = n ... N of C(i - 1, n - 1) / C(N, n) measured_(i),      (i) in rising order of proxy
//
// Samples of equal proxy share their weights evenly, as if the tie were broken at random. Throws
// std::invalid_argument if n is not in 1 ... N or a proxy score is not a number.
double expected_best_of_n(std::span<const double> proxy, std::span<const double> measured, int n);
inline double expected_best_of_n(std::span<const double> scores, int n) {
  return expected_best_of_n(scores, scores, n);
}

}  // namespace coxswain
