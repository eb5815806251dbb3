// One token a row, by inversion of a given uniform number, in the words of kernels/cpu/sample.cpp: weights
// exp((logit - largest) / temperature) cumulated in blocks of 1024 in the order of the vocabulary, or, where top_k or
// top_p cut, over the candidates in falling order.
//
// First a block of threads for each 1024 logits: its largest ones, then its sums of weights, of all tokens and of those
// that may be drawn. Then a block of threads for each row draws, from one of these blocks where nothing is cut. Else
// the 1024 (or top_k) likeliest tokens are found by counting, two bits of a logit at a time, and sorted in shared
// memory (equal logits by token); only where these do not have the probability top_p, or top_k is larger, the whole row
// is sorted. The last step, which walks along a cumulated sum, is one thread's; what it adds up has been computed by
// all. Floor: the logits through memory once; where something is cut, 17 times more from the second-level cache.
#include <bit>
#include <climits>

#include "kernels/cuda/sampled_rows.cuh"

namespace coxswain {
namespace {

constexpr int kFew = 1024;  // candidates that fit into shared memory
constexpr std::int32_t kMore = -2, kNobody = -1;

// Larger for larger values, equal for equal ones.
__device__ inline std::uint64_t key_of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value == 0 ? 0.0f : value);
  return bits >> 31 ? ~bits : bits | 1u << 31;
}
__device__ inline std::uint64_t key_of(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value == 0 ? 0.0 : value);
  return bits >> 63 ? ~bits : bits | std::uint64_t{1} << 63;
}

// How many threads before this one have the flag; `in_all` is increased by how many there are.
__device__ inline int count_before(bool flag, int& in_all) {
  COXSWAIN_SHARED(int, of_warps, kThreads / kWarp);
  const unsigned votes = __ballot_sync(kAllLanes, flag), warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  __syncthreads();  // the last call's counts may still be read
  if (lane == 0) of_warps[warp] = __popc(votes);
  __syncthreads();
  int before = in_all + __popc(votes & ((1u << lane) - 1));
  for (unsigned i = 0; i < kThreads / kWarp; ++i) {
    if (i < warp) before += of_warps[i];
    in_all += of_warps[i];
  }
  return before;
}

// All threads of the block call its functions together, but for those that say one thread.
template <class R>
class RowSampler {
 public:
  __device__ RowSampler(const SampledRows<R>& op, std::int64_t row)
      : op_(op),
        row_(row),
        logits_(op.gathered + row * op.vocabulary),
        sums_(op.sums + op.place(1, row, 0)),
        order_(op.order + row * op.sorted) {}

  __device__ double sum(int of_allowed) const {
    double sum = 0;
    for (std::int64_t block = 0; block < op_.blocks(); ++block) sum += op_.sums[op_.place(of_allowed, row_, block)];
    return sum;
  }
  // The first token with the largest logit.
  __device__ std::int64_t first_of(R largest) const {
    const R* maxima = op_.maxima + op_.place(1, row_, 0);
    const std::int64_t block = lowest(op_.blocks(), [=](std::int64_t i) { return maxima[i] == largest; });
    const BlockOfTokens tokens(op_, block);
    return tokens.first + lowest(tokens.count, [&](std::int64_t i) { return logits_[tokens.first + i] == largest; });
  }

  // The likeliest tokens, by falling logit, equal ones by token, in shared memory.
  struct Few {
    R* logits;
    std::int32_t* tokens;
    double* weights;
    int count;
  };
  __device__ Few likeliest(int count) const {
    COXSWAIN_SHARED(R, logits, kFew);
    COXSWAIN_SHARED(std::int32_t, tokens, kFew);
    const std::uint64_t least = key_of_rank(count);
    const int above = join_block(count_where([least](std::uint64_t key) { return key > least; }), Add());
    int greater = 0, equal = above;
    for (std::int64_t first = 0; first < op_.vocabulary; first += kThreads) {
      const std::int64_t i = first + threadIdx.x;
      const std::uint64_t key = i < op_.vocabulary ? key_of(logits_[i]) : 0;
      const int of_greater = count_before(i < op_.vocabulary && key > least, greater);
      const int of_equal = count_before(i < op_.vocabulary && key == least, equal);
      const int place = key > least ? of_greater : of_equal;
      if (i < op_.vocabulary && key >= least && place < count)
        logits[place] = logits_[i], tokens[place] = static_cast<std::int32_t>(i);
    }
    int padded = 1;
    while (padded < count) padded *= 2;
    for (int i = count + static_cast<int>(threadIdx.x); i < padded; i += kThreads)
      logits[i] = kNone, tokens[i] = INT_MAX;
    __syncthreads();
    sort_few(logits, tokens, padded);
    return {logits, tokens, shared_weights(), count};
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

  // All threads'; the result is the first one's.
  __device__ std::int32_t draw_any(double uniform, R largest, double sum) const {
    COXSWAIN_SHARED(std::int32_t, chosen, 1);
    const R inverse = static_cast<R>(1.0 / op_.temperature);
    double* weights = shared_weights();
    double left = uniform * sum;
    if (threadIdx.x == 0) {
      std::int32_t block = 0;
      while (block + 1 < op_.blocks() && left >= sums_[block]) left -= sums_[block++];
      chosen[0] = block;
    }
    __syncthreads();
    const BlockOfTokens tokens(op_, chosen[0]);
    for (std::int64_t i = threadIdx.x; i < tokens.count; i += kThreads)
      weights[i] = static_cast<double>(exp_fast((logits_[tokens.first + i] - largest) * inverse));
    __syncthreads();
    std::int64_t token = -1;
    for (std::int64_t i = 0; i < tokens.count && threadIdx.x == 0; ++i) {
      if (weights[i] > 0) token = tokens.first + i;  // the last one that can be drawn, where rounding leaves a crumb
      if ((left -= weights[i]) < 0 && weights[i] > 0) break;
    }
    return static_cast<std::int32_t>(token);
  }
  // Of candidates in falling order, of which there are `count`: kMore if more are needed. One thread's.
  template <class Weight, class Token>
  __device__ std::int32_t draw_candidate(double uniform, double sum, std::int64_t count, const Weight& weight,
                                         const Token& token) const {
    const std::int64_t most = candidates();
    if (op_.top_k > 0) {
      sum = 0;
      for (std::int64_t i = 0; i < most; ++i) sum += weight(i);
    }
    double kept = 0;
    std::int64_t taken = 0;
    while (taken < count && (taken == 0 || kept < op_.top_p * sum)) kept += weight(taken++);
    if (taken == count && count < most && kept < op_.top_p * sum) return kMore;
    double left = uniform * kept;
    for (std::int64_t i = 0; i < taken; ++i)
      if ((left -= weight(i)) < 0) return token(i);
    return token(0);
  }
  // All threads'.
  __device__ std::int32_t draw_of_few(double uniform, R largest, double sum) const {
    COXSWAIN_SHARED(std::int32_t, drawn, 1);
    const R inverse = static_cast<R>(1.0 / op_.temperature);
    const Few few = likeliest(static_cast<int>(candidates() < kFew ? candidates() : kFew));
    for (int i = static_cast<int>(threadIdx.x); i < few.count; i += kThreads)
      few.weights[i] = static_cast<double>(exp_fast((few.logits[i] - largest) * inverse));
    __syncthreads();
    if (threadIdx.x == 0)
      drawn[0] = draw_candidate(
          uniform, sum, few.count, [&few](std::int64_t i) { return few.weights[i]; },
          [&few](std::int64_t i) { return few.tokens[i]; });
    __syncthreads();
    return drawn[0];
  }
  // One thread's, after sort().
  __device__ std::int32_t draw_of_all(double uniform, R largest, double sum) const {
    const R inverse = static_cast<R>(1.0 / op_.temperature);
    return draw_candidate(
        uniform, sum, candidates(),
        [&](std::int64_t i) { return static_cast<double>(exp_fast((logits_[order_[i]] - largest) * inverse)); },
        [&](std::int64_t i) { return order_[i]; });
  }
  __device__ std::int64_t candidates() const {
    return op_.top_k > 0 && op_.top_k < op_.vocabulary ? op_.top_k : op_.vocabulary;
  }
  __device__ R logit(std::int64_t token) const { return logits_[token]; }

  static constexpr R kNone = -std::numeric_limits<R>::infinity();

 private:
  __device__ static double* shared_weights() {
    static_assert(kFew == kSumBlock);
    COXSWAIN_SHARED(double, weights, kFew);
    return weights;
  }
  // The lowest i of [0, count) that holds, of which there is one.
  template <class Holds>
  __device__ static std::int64_t lowest(std::int64_t count, const Holds& holds) {
    return -block_max<std::int64_t>(count, -count, [&](std::int64_t i) { return holds(i) ? -i : -count; });
  }
  __device__ bool before(std::int32_t a, std::int32_t b) const {
    if (a < 0 || b < 0) return b < 0 && a >= 0;
    return logits_[a] != logits_[b] ? logits_[a] > logits_[b] : a < b;
  }
  template <class Holds>
  __device__ int count_where(const Holds& holds) const {
    int count = 0;
    for (std::int64_t i = threadIdx.x; i < op_.vocabulary; i += kThreads) count += holds(key_of(logits_[i]));
    return count;
  }
  // The largest key that `rank` tokens reach.
  __device__ std::uint64_t key_of_rank(int rank) const {
    std::uint64_t found = 0;
    for (int shift = static_cast<int>(sizeof(R)) * 8 - 2; shift >= 0; shift -= 2) {
      int counts[3] = {};  // of tokens that reach `found` with 1, 2 or 3 in the next two bits
      for (std::int64_t i = threadIdx.x; i < op_.vocabulary; i += kThreads) {
        const std::uint64_t key = key_of(logits_[i]);
        for (unsigned digit = 1; digit <= 3; ++digit)
          counts[digit - 1] += key >= (found | std::uint64_t{digit} << shift);
      }
      std::uint64_t next = 0;
      for (unsigned digit = 1; digit <= 3; ++digit)
        if (join_block(counts[digit - 1], Add()) >= rank) next = digit;
      found |= next << shift;
    }
    return found;
  }
  __device__ static void sort_few(R* logits, std::int32_t* tokens, int count) {
    for (int run = 2; run <= count; run *= 2)
      for (int distance = run / 2; distance > 0; distance /= 2) {
        for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
          const int partner = i ^ distance;
          if (partner < i) continue;
          const R a = logits[i], b = logits[partner];
          const std::int32_t first = tokens[i], second = tokens[partner];
          if ((b != a ? b > a : second < first) != ((i & run) == 0)) continue;
          logits[i] = b, logits[partner] = a;
          tokens[i] = second, tokens[partner] = first;
        }
        __syncthreads();
      }
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
__device__ std::int32_t draw(const SampledRows<R>& op, RowSampler<R>& row, R largest) {
  const double uniform = op.uniform[blockIdx.x];
  if (!std::isfinite(largest)) return -1;  // every token is banned
  if (op.temperature == 0) return static_cast<std::int32_t>(row.first_of(largest));
  const double sum = row.sum(1);
  if (op.sorted > 0) {
    const std::int32_t token =
        op.top_k > kFew && op.top_k < op.vocabulary ? kMore : row.draw_of_few(uniform, largest, sum);
    if (token != kMore) return token;
    row.sort();
    return threadIdx.x == 0 ? row.draw_of_all(uniform, largest, sum) : kNobody;
  }
  const std::int32_t token = row.draw_any(uniform, largest, sum);
  const auto likeliest = static_cast<std::int32_t>(row.first_of(largest));
  return token < 0 ? likeliest : token;
}

template <class R>
__global__ void __launch_bounds__(kThreads) sample_kernel(SampledRows<R> op) {
  const std::int64_t index = blockIdx.x;
  RowSampler<R> row(op, index);
  const R of_all = op.largest(0, index), largest = op.largest(1, index);
  const double normaliser = row.sum(0);
  std::int32_t token = -1;
  R log_prob = std::numeric_limits<R>::quiet_NaN();
  if (std::isfinite(of_all) && std::isfinite(normaliser)) {
    token = draw(op, row, largest);
    if (threadIdx.x == 0 && token >= 0)
      log_prob =
          static_cast<R>(static_cast<double>(row.logit(token)) - static_cast<double>(of_all) - std::log(normaliser));
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
  const Scratch<R> maxima(backend, 2 * rows * work.blocks());
  const Scratch<double> sums(backend, 2 * rows * work.blocks());
  const Scratch<std::int32_t> order(backend, rows * sorted);
  work.gathered = gathered.data(), work.maxima = maxima.data(), work.sums = sums.data(), work.order = order.data();
  const dim3 blocks(pieces(work.blocks(), 1), pieces(rows, 1));
  launch(stream, {blocks}, gather_kernel<R>, work);
  launch(stream, {blocks}, weight_sums_kernel<R>, work);
  launch(stream, {dim3(pieces(rows, 1))}, sample_kernel<R>, work);
}

}  // namespace

void CudaBackend::do_sample(const Sample& op) {
  op.logits.dtype == DType::f64 ? coxswain::sample<double>(*this, stream(), op)
                                : coxswain::sample<float>(*this, stream(), op);
}

}  // namespace coxswain
