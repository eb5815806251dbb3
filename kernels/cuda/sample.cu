// One token a row, by inversion of a given uniform number, in the words of kernels/cpu/sample.cpp: weights
// exp((logit - largest) / temperature) cumulated in blocks of 1024 in the order of the vocabulary, or, where top_k or
// top_p cut, over the candidates in falling order.
//
// A block of threads has one row. Candidates are ordered by a bitonic sort of the whole row (equal logits by token), so
// that the order is one; the last steps, which walk along a cumulated sum, are one thread's.
#include <limits>

#include "kernels/cuda/common.cuh"

namespace coxswain {
namespace {

constexpr std::int64_t kSumBlock = 1024;

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
  R* gathered;          // scratch [rows, vocabulary]
  double* sums;         // scratch [rows, blocks]
  std::int32_t* order;  // scratch [rows, sorted]

  __host__ __device__ std::int64_t blocks() const { return (vocabulary + kSumBlock - 1) / kSumBlock; }
};

// All threads of the block call its functions together, but for those that say one thread.
template <class R>
class RowSampler {
 public:
  __device__ RowSampler(const SampledRows<R>& op, std::int64_t row)
      : op_(op),
        row_(row),
        logits_(op.gathered + row * op.vocabulary),
        sums_(op.sums + row * op.blocks()),
        order_(op.order + row * op.sorted) {}

  __device__ void gather() {
    for (std::int64_t i = threadIdx.x; i < op_.vocabulary; i += kThreads)
      logits_[i] = op_.logits[(i / op_.columns * op_.rows + row_) * op_.columns + i % op_.columns];
    __syncthreads();
  }
  __device__ void ban() {
    if (op_.banned != nullptr && op_.bans[row_] != 0)
      for (std::int64_t i = threadIdx.x; i < op_.banned_count; i += kThreads) {
        const std::int32_t token = op_.banned[i];
        if (token >= 0 && token < op_.vocabulary) logits_[token] = kNone;
      }
    __syncthreads();
  }
  __device__ R largest() const {
    return block_max<R>(op_.vocabulary, kNone, [this](std::int64_t i) { return logits_[i]; });
  }
  // Sum of exp((logit - largest) / temperature); sums_ keeps the blocks'.
  __device__ double sum_exp(R largest, double temperature) {
    const R inverse = static_cast<R>(1.0 / temperature);
    double sum = 0;
    for (std::int64_t block = 0; block < op_.blocks(); ++block) {
      const std::int64_t first = block * kSumBlock;
      const std::int64_t count = op_.vocabulary - first < kSumBlock ? op_.vocabulary - first : kSumBlock;
      const double part = static_cast<double>(block_sum<R>(
          count, [=, this](std::int64_t i) { return exp_fast((logits_[first + i] - largest) * inverse); }));
      if (threadIdx.x == 0) sums_[block] = part;
      sum += part;
    }
    __syncthreads();
    return sum;
  }
  __device__ std::int64_t first_of(R value) const {
    return -block_max<std::int64_t>(op_.vocabulary, -op_.vocabulary,
                                    [=, this](std::int64_t i) { return logits_[i] == value ? -i : -op_.vocabulary; });
  }

  // order_[0, sorted) by falling logit, equal ones by token; places beyond the vocabulary hold -1, at the end.
  __device__ void sort() {
    for (std::int64_t i = threadIdx.x; i < op_.sorted; i += kThreads)
      order_[i] = i < op_.vocabulary ? static_cast<std::int32_t>(i) : -1;
    __syncthreads();
    for (std::int64_t run = 2; run <= op_.sorted; run *= 2)
      for (std::int64_t distance = run / 2; distance > 0; distance /= 2) {
        for (std::int64_t i = threadIdx.x; i < op_.sorted; i += kThreads) {
          const std::int64_t partner = i ^ distance;
          if (partner > i) exchange(order_[i], order_[partner], (i & run) == 0);
        }
        __syncthreads();
      }
  }

  // One thread's.
  __device__ std::int32_t draw_any(double uniform, R largest, double sum) const {
    const R inverse = static_cast<R>(1.0 / op_.temperature);
    double left = uniform * sum;
    std::int64_t block = 0;
    while (block + 1 < op_.blocks() && left >= sums_[block]) left -= sums_[block++];
    const std::int64_t first = block * kSumBlock;
    const std::int64_t last = first + kSumBlock < op_.vocabulary ? first + kSumBlock : op_.vocabulary;
    std::int64_t token = -1;
    for (std::int64_t i = first; i < last; ++i) {
      const double weight = static_cast<double>(exp_fast((logits_[i] - largest) * inverse));
      if (weight > 0) token = i;  // the block's last one that can be drawn, where rounding leaves a crumb
      if ((left -= weight) < 0 && weight > 0) break;
    }
    return static_cast<std::int32_t>(token);
  }
  // One thread's, after sort().
  __device__ std::int32_t draw_candidate(double uniform, R largest, double sum) const {
    const std::int64_t most = op_.top_k > 0 && op_.top_k < op_.vocabulary ? op_.top_k : op_.vocabulary;
    const R inverse = static_cast<R>(1.0 / op_.temperature);
    const auto weight = [&](std::int64_t i) {
      return static_cast<double>(exp_fast((logits_[order_[i]] - largest) * inverse));
    };
    if (op_.top_k > 0) {
      sum = 0;
      for (std::int64_t i = 0; i < most; ++i) sum += weight(i);
    }
    double kept = 0;
    std::int64_t count = 0;
    while (count < most && (count == 0 || kept < op_.top_p * sum)) kept += weight(count++);
    double left = uniform * kept;
    for (std::int64_t i = 0; i < count; ++i)
      if ((left -= weight(i)) < 0) return order_[i];
    return order_[0];
  }
  __device__ R logit(std::int64_t token) const { return logits_[token]; }

  static constexpr R kNone = -std::numeric_limits<R>::infinity();

 private:
  __device__ bool before(std::int32_t a, std::int32_t b) const {
    if (a < 0 || b < 0) return b < 0 && a >= 0;
    return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
  }
  __device__ void exchange(std::int32_t& first, std::int32_t& second, bool falling) const {
    if (before(second, first) != falling) return;
    const std::int32_t kept = first;
    first = second;
    second = kept;
  }

  const SampledRows<R>& op_;
  std::int64_t row_;
  R* logits_;
  double* sums_;
  std::int32_t* order_;
};

template <class R>
__device__ std::int32_t draw(const SampledRows<R>& op, RowSampler<R>& row, double uniform) {
  const R largest = row.largest();
  if (!std::isfinite(largest)) return -1;  // every token is banned
  const std::int64_t likeliest = row.first_of(largest);
  if (op.temperature == 0) return static_cast<std::int32_t>(likeliest);
  const double sum = row.sum_exp(largest, op.temperature);
  if (op.sorted > 0) {
    row.sort();
    return threadIdx.x == 0 ? row.draw_candidate(uniform, largest, sum) : -1;
  }
  const std::int32_t token = threadIdx.x == 0 ? row.draw_any(uniform, largest, sum) : -1;
  return token < 0 ? static_cast<std::int32_t>(likeliest) : token;
}

template <class R>
__global__ void __launch_bounds__(kThreads) sample_kernel(SampledRows<R> op) {
  const std::int64_t index = blockIdx.x;
  RowSampler<R> row(op, index);
  row.gather();
  const R largest = row.largest();
  const double normaliser = row.sum_exp(largest, 1.0);
  std::int32_t token = -1;
  R log_prob = std::numeric_limits<R>::quiet_NaN();
  if (std::isfinite(largest) && std::isfinite(normaliser)) {
    row.ban();
    token = draw(op, row, op.uniform[index]);
    if (threadIdx.x == 0 && token >= 0)
      log_prob =
          static_cast<R>(static_cast<double>(row.logit(token)) - static_cast<double>(largest) - std::log(normaliser));
  }
  if (threadIdx.x == 0) op.tokens[index] = token, op.log_probs[index] = log_prob;
}

template <class R>
void sample(Backend& backend, cudaStream_t stream, const Backend::Sample& op) {
  const std::int64_t rows = op.logits.shape[1];
  std::int64_t sorted = 0;
  if ((op.top_k > 0 && op.top_k < op.vocabulary) || op.top_p < 1)
    for (sorted = 1; sorted < op.vocabulary;) sorted *= 2;
  SampledRows<R> work{};
  work.logits = op.logits.as<R>();
  work.rows = rows, work.columns = op.logits.shape[2], work.vocabulary = op.vocabulary, work.sorted = sorted;
  work.uniform = op.uniform.as<double>();
  if (op.banned) {
    work.banned = op.banned.as<std::int32_t>(), work.bans = op.bans.as<std::int32_t>();
    work.banned_count = op.banned.elements();
  }
  work.top_k = op.top_k, work.temperature = op.temperature, work.top_p = op.top_p;
  work.tokens = op.tokens.as<std::int32_t>(), work.log_probs = op.log_probs.as<R>();
  const Scratch<R> gathered(backend, rows * op.vocabulary);
  const Scratch<double> sums(backend, rows * work.blocks());
  const Scratch<std::int32_t> order(backend, rows * sorted);
  work.gathered = gathered.data(), work.sums = sums.data(), work.order = order.data();
  launch(stream, {dim3(pieces(rows, 1))}, sample_kernel<R>, work);
}

}  // namespace

void CudaBackend::do_sample(const Sample& op) {
  op.logits.dtype == DType::f64 ? coxswain::sample<double>(*this, stream(), op)
                                : coxswain::sample<float>(*this, stream(), op);
}

}  // namespace coxswain
