// Rows of logits on their way to a draw (sample.cu), and what blocks of 1024 tokens find out about them: their largest
// logits, and their sums of weights. Floor: the logits through memory once, and twice from the second-level cache.
#pragma once

#include <limits>

#include "kernels/cuda/common.cuh"

namespace coxswain {

inline constexpr std::int64_t kSumBlock = 1024;

template <class R>
struct SampledRows {
  const R* logits;                                 // [shards, rows, columns]
  std::int64_t rows, columns, vocabulary, sorted;  // sorted: the vocabulary rounded up to a power of two, 0: no cuts
  const double* uniform;
  const std::int32_t *banned, *bans;
  std::int64_t banned_count, top_k;
  double temperature, top_p;
  std::int32_t* tokens;
  R* log_probs;
  R* gathered;          // scratch [rows, vocabulary]: minus infinity where a token is banned
  R* maxima;            // scratch [2, rows, blocks]: of all tokens, and of those that are not banned
  double* sums;         // scratch [2, rows, blocks]: of exp(logit - largest) of all, and of the others' weights
  std::int32_t* order;  // scratch [rows, sorted]

  __host__ __device__ std::int64_t blocks() const { return (vocabulary + kSumBlock - 1) / kSumBlock; }
  __device__ std::int64_t place(int of_allowed, std::int64_t row, std::int64_t block) const {
    return (of_allowed * rows + row) * blocks() + block;
  }
  __device__ R logit(std::int64_t row, std::int64_t token) const {  // there are fewer than 2^31 tokens
    const auto i = static_cast<unsigned>(token), across = static_cast<unsigned>(columns);
    return logits[(i / across * rows + row) * columns + i % across];
  }
  __device__ R largest(int of_allowed, std::int64_t row) const {  // all threads of a block call it
    const R* of_blocks = maxima + place(of_allowed, row, 0);
    return block_max<R>(blocks(), -std::numeric_limits<R>::infinity(),
                        [of_blocks](std::int64_t block) { return of_blocks[block]; });
  }
};

// The tokens of a block of the vocabulary.
struct BlockOfTokens {
  std::int64_t first, count;
  template <class R>
  __device__ BlockOfTokens(const SampledRows<R>& op, std::int64_t block)
      : first(block * kSumBlock), count(op.vocabulary - first < kSumBlock ? op.vocabulary - first : kSumBlock) {}
};

template <class R>
__global__ void __launch_bounds__(kThreads) gather_kernel(SampledRows<R> op) {
  constexpr R kNone = -std::numeric_limits<R>::infinity();
  const std::int64_t row = blockIdx.y;
  const BlockOfTokens tokens(op, blockIdx.x);
  R* to = op.gathered + row * op.vocabulary + tokens.first;
  const R of_all = block_max<R>(tokens.count, kNone, [&](std::int64_t i) {
    to[i] = op.logit(row, tokens.first + i);
    return to[i];
  });
  if (op.banned != nullptr && op.bans[row] != 0) {
    for (std::int64_t i = threadIdx.x; i < op.banned_count; i += kThreads) {
      const std::int64_t token = op.banned[i] - tokens.first;
      if (token >= 0 && token < tokens.count) to[token] = kNone;
    }
    __syncthreads();
  }
  const R of_allowed = block_max<R>(tokens.count, kNone, [to](std::int64_t i) { return to[i]; });
  if (threadIdx.x == 0) {
    op.maxima[op.place(0, row, blockIdx.x)] = of_all;
    op.maxima[op.place(1, row, blockIdx.x)] = of_allowed;
  }
}

template <class R>
__global__ void __launch_bounds__(kThreads) weight_sums_kernel(SampledRows<R> op) {
  const std::int64_t row = blockIdx.y;
  const BlockOfTokens tokens(op, blockIdx.x);
  const R* allowed = op.gathered + row * op.vocabulary + tokens.first;
  const R of_all = op.largest(0, row), of_allowed = op.largest(1, row);
  const R inverse = static_cast<R>(1.0 / op.temperature);
  const R all =
      block_sum<R>(tokens.count, [&](std::int64_t i) { return exp_fast(op.logit(row, tokens.first + i) - of_all); });
  const R weights =
      block_sum<R>(tokens.count, [=](std::int64_t i) { return exp_fast((allowed[i] - of_allowed) * inverse); });
  if (threadIdx.x == 0) {
    op.sums[op.place(0, row, blockIdx.x)] = static_cast<double>(all);
    op.sums[op.place(1, row, blockIdx.x)] = static_cast<double>(weights);
  }
}

}  // namespace coxswain
