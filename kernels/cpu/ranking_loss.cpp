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
// are half right (best_of_n: the share of the best ones among those with the highest score). In double, one group after
// another.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {
namespace {

struct Sums {
  double loss = 0, comparisons = 0, right = 0;
};

// One group of k responses; rank 0 or less is absent.
template <class T>
struct Group {
  const T* scores;
  const std::int32_t* ranks;
  double* gradient;  // += dloss / dscore
  std::int64_t k;
  double weight;

  bool better(std::int64_t i, std::int64_t j) const { return ranks[i] > 0 && ranks[j] > 0 && ranks[i] < ranks[j]; }
  double score(std::int64_t i) const { return scores[i]; }
};

template <class T>
void pairwise(const Group<T>& group, Sums& sums) {
  std::int64_t pairs = 0;
  for (std::int64_t i = 0; i < group.k; ++i)
    for (std::int64_t j = 0; j < group.k; ++j) pairs += group.better(i, j) ? 1 : 0;
  if (pairs == 0) return;
  const double weight = group.weight / static_cast<double>(pairs);
  for (std::int64_t i = 0; i < group.k; ++i) {
    for (std::int64_t j = 0; j < group.k; ++j) {
      if (!group.better(i, j)) continue;
      const double margin = group.score(i) - group.score(j);
      const double small = std::exp(-std::abs(margin));             // never overflows
      const double doubt = (margin > 0 ? small : 1) / (1 + small);  // sigma(-margin)
      sums.loss += weight * (std::log1p(small) + std::max(-margin, 0.0));
      sums.right += margin > 0 ? 1 : margin == 0 ? 0.5 : 0;
      group.gradient[i] -= weight * doubt;
      group.gradient[j] += weight * doubt;
    }
  }
  sums.comparisons += static_cast<double>(pairs);
}

template <class T>
void best_of_n(const Group<T>& group, Sums& sums) {
  std::int32_t best = std::numeric_limits<std::int32_t>::max(), worst = 0;
  double highest = -std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < group.k; ++i) {
    if (group.ranks[i] <= 0) continue;
    best = std::min(best, group.ranks[i]), worst = std::max(worst, group.ranks[i]);
    highest = std::max(highest, group.score(i));
  }
  if (best >= worst) return;
  double total = 0, best_count = 0, highest_count = 0, both_count = 0;
  for (std::int64_t i = 0; i < group.k; ++i) {
    if (group.ranks[i] <= 0) continue;
    const bool is_best = group.ranks[i] == best, is_highest = group.score(i) == highest;
    total += std::exp(group.score(i) - highest);
    best_count += is_best, highest_count += is_highest, both_count += is_best && is_highest;
  }
  const double log_sum_exp = highest + std::log(total);
  for (std::int64_t i = 0; i < group.k; ++i) {
    if (group.ranks[i] <= 0) continue;
    const double share = group.ranks[i] == best ? 1 / best_count : 0, log_p = group.score(i) - log_sum_exp;
    if (share > 0) sums.loss -= group.weight * share * log_p;
    group.gradient[i] += group.weight * (std::exp(log_p) - share);
  }
  sums.comparisons += 1;
  sums.right += both_count / highest_count;
}

template <class T>
void ranking_loss_typed(Backend& backend, const Backend::RankingLoss& op) {
  const std::int64_t groups = op.scores.shape[0], k = op.scores.shape[1];
  const T* weights = op.group_weights.as<T>();
  const Scratch<double> gradient(backend, k);
  Sums sums;
  for (std::int64_t g = 0; g < groups; ++g) {
    std::fill_n(gradient.data(), k, 0.0);
    if (weights[g] != 0) {
      const Group<T> group{op.scores.as<T>() + g * k, op.ranks.as<std::int32_t>() + g * k, gradient.data(), k,
                           static_cast<double>(weights[g])};
      op.kind == RankingKind::pairwise ? pairwise(group, sums) : best_of_n(group, sums);
    }
    for (std::int64_t i = 0; i < k; ++i) op.gradient.as<T>()[g * k + i] = static_cast<T>(gradient.data()[i]);
  }
  double* terms = op.terms.as<double>();
  terms[0] = sums.loss, terms[1] = sums.comparisons, terms[2] = sums.right;
}

}  // namespace

void CpuBackend::do_ranking_loss(const RankingLoss& op) {
  op.scores.dtype == DType::f64 ? ranking_loss_typed<double>(*this, op) : ranking_loss_typed<float>(*this, op);
}

}  // namespace coxswain
