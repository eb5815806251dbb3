// Losses of a reward model, one group after another; the formulas are in kernels/ranked_group.h.
#include <algorithm>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"
#include "kernels/ranked_group.h"

namespace coxswain {
namespace {

template <class T>
void ranking_loss_typed(Backend& backend, const Backend::RankingLoss& op) {
  const std::int64_t groups = op.scores.shape[0], k = op.scores.shape[1];
  const T* weights = op.group_weights.as<T>();
  const Scratch<double> gradient(backend, k);
  RankingSums sums;
  for (std::int64_t g = 0; g < groups; ++g) {
    std::fill_n(gradient.data(), k, 0.0);
    if (weights[g] != 0) {
      const RankedGroup<T> group{op.scores.as<T>() + g * k, op.ranks.as<std::int32_t>() + g * k, gradient.data(), k,
                                 static_cast<double>(weights[g])};
      op.kind == RankingKind::pairwise ? group.add_pairwise(sums) : group.add_best_of_n(sums);
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
