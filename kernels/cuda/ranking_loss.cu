// Losses of a reward model; the formulas are in kernels/ranked_group.h. A thread has a group, and one block adds up
// what the groups give, in double. Floor: three numbers a response; there are some tens of them.
#include "kernels/cuda/common.cuh"
#include "kernels/ranked_group.h"

namespace coxswain {
namespace {

template <class T>
struct RankingArrays {
  RankingKind kind;
  const T *scores, *weights;
  const std::int32_t* ranks;
  std::int64_t groups, k;
  double* slopes;     // scratch [groups, k]
  RankingSums* sums;  // scratch [groups]
  T* gradient;
  double* terms;
};

template <class T>
struct RankedGroupElement {
  RankingArrays<T> op;

  __device__ void operator()(std::int64_t, std::int64_t g) const {
    const std::int64_t first = g * op.k;
    double* slopes = op.slopes + first;
    for (std::int64_t i = 0; i < op.k; ++i) slopes[i] = 0;
    RankingSums sums;
    if (op.weights[g] != 0) {
      const RankedGroup<T> group{op.scores + first, op.ranks + first, slopes, op.k, static_cast<double>(op.weights[g])};
      op.kind == RankingKind::pairwise ? group.add_pairwise(sums) : group.add_best_of_n(sums);
    }
    op.sums[g] = sums;
    for (std::int64_t i = 0; i < op.k; ++i) op.gradient[first + i] = static_cast<T>(slopes[i]);
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) ranking_terms_kernel(RankingArrays<T> op) {
  const double sums[] = {block_sum<double>(op.groups, [&op](std::int64_t g) { return op.sums[g].loss; }),
                         block_sum<double>(op.groups, [&op](std::int64_t g) { return op.sums[g].comparisons; }),
                         block_sum<double>(op.groups, [&op](std::int64_t g) { return op.sums[g].right; })};
  if (threadIdx.x == 0)
    for (int i = 0; i < 3; ++i) op.terms[i] = sums[i];
}

template <class T>
void ranking_loss(Backend& backend, cudaStream_t stream, const Backend::RankingLoss& op) {
  const std::int64_t groups = op.scores.shape[0], k = op.scores.shape[1];
  const Scratch<double> slopes(backend, groups * k);
  const Scratch<RankingSums> sums(backend, groups);
  const RankingArrays<T> arrays{
      op.kind,       op.scores.as<T>(), op.group_weights.as<T>(), op.ranks.as<std::int32_t>(), groups, k,
      slopes.data(), sums.data(),       op.gradient.as<T>(),      op.terms.as<double>()};
  elementwise(stream, 1, groups, RankedGroupElement<T>{arrays});
  launch(stream, {dim3(1)}, ranking_terms_kernel<T>, arrays);
}

}  // namespace

void CudaBackend::do_ranking_loss(const RankingLoss& op) {
  op.scores.dtype == DType::f64 ? coxswain::ranking_loss<double>(*this, stream(), op)
                                : coxswain::ranking_loss<float>(*this, stream(), op);
}

}  // namespace coxswain
