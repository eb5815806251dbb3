// Losses of a reward model on groups of ranked responses to one prompt.
//
// pairwise (Ouyang et al. 2022, arXiv 2203.02155, eq. 1): -1/C sum over the pairs of a group in which i is ranked
// better than j of log sigma(s_i - s_j). Tied pairs are dropped, and C is the number of pairs that remain: the paper's
// C(K, 2) if there are no ties, and every group with a preference in it counts alike if there are. best_of_n (Ziegler
// et al. 2019, arXiv 1909.08593): -log softmax(s) at the best-ranked response; those that share the best rank share the
// target evenly.
//
// A group in which nothing is better than anything else gives no loss, no gradient and no count. Comparisons that count
// are the pairs, or for best_of_n the groups. One is right if the better response has the higher score; equal scores
// are half right (best_of_n: the share of the best ones among those with the highest score). In double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/view.h"

namespace coxswain {

struct RankingSums {
  double loss = 0, comparisons = 0, right = 0;
};

// One group of k responses; rank 0 or less is absent.
template <class T>
struct RankedGroup {
  const T* scores;
  const std::int32_t* ranks;
  double* gradient;  // += dloss / dscore
  std::int64_t k;
  double weight;

  COXSWAIN_EVERYWHERE bool better(std::int64_t i, std::int64_t j) const {
    return ranks[i] > 0 && ranks[j] > 0 && ranks[i] < ranks[j];
  }
  COXSWAIN_EVERYWHERE double score(std::int64_t i) const { return scores[i]; }

  COXSWAIN_EVERYWHERE void add_pairwise(RankingSums& sums) const {
    std::int64_t pairs = 0;
    for (std::int64_t i = 0; i < k; ++i)
      for (std::int64_t j = 0; j < k; ++j) pairs += better(i, j) ? 1 : 0;
    if (pairs == 0) return;
    const double share = weight / static_cast<double>(pairs);
    for (std::int64_t i = 0; i < k; ++i) {
      for (std::int64_t j = 0; j < k; ++j) {
        if (!better(i, j)) continue;
        const double margin = score(i) - score(j);
        const double small = std::exp(-std::abs(margin));             // never overflows
        const double doubt = (margin > 0 ? small : 1) / (1 + small);  // sigma(-margin)
        sums.loss += share * (std::log1p(small) + std::max(-margin, 0.0));
        sums.right += margin > 0 ? 1 : margin == 0 ? 0.5 : 0;
        gradient[i] -= share * doubt;
        gradient[j] += share * doubt;
      }
    }
    sums.comparisons += static_cast<double>(pairs);
  }

  COXSWAIN_EVERYWHERE void add_best_of_n(RankingSums& sums) const {
    std::int32_t best = std::numeric_limits<std::int32_t>::max(), worst = 0;
    double highest = -std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < k; ++i) {
      if (ranks[i] <= 0) continue;
      best = std::min(best, ranks[i]), worst = std::max(worst, ranks[i]);
      highest = std::max(highest, score(i));
    }
    if (best >= worst) return;
    double total = 0, best_count = 0, highest_count = 0, both_count = 0;
    for (std::int64_t i = 0; i < k; ++i) {
      if (ranks[i] <= 0) continue;
      const bool is_best = ranks[i] == best, is_highest = score(i) == highest;
      total += std::exp(score(i) - highest);
      best_count += is_best, highest_count += is_highest, both_count += is_best && is_highest;
    }
    const double log_sum_exp = highest + std::log(total);
    for (std::int64_t i = 0; i < k; ++i) {
      if (ranks[i] <= 0) continue;
      const double share = ranks[i] == best ? 1 / best_count : 0, log_p = score(i) - log_sum_exp;
      if (share > 0) sums.loss -= weight * share * log_p;
      gradient[i] += weight * (std::exp(log_p) - share);
    }
    sums.comparisons += 1;
    sums.right += both_count / highest_count;
  }
};

}  // namespace coxswain
