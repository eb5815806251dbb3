// One token a row, by inversion of a given uniform number: the first token whose cumulated weight exceeds uniform times
// the sum of weights, weight = exp((logit - largest) / temperature), summed in double.
//
// All tokens: cumulated in blocks of 1024 in the order of the vocabulary. top_k and top_p: the candidates are ordered
// by falling logit, equal ones by token; top_p keeps the shortest run of them that reaches its share.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {
namespace {

constexpr std::int64_t kSumBlock = 1024;

template <class R>
class SampledRow {
 public:
  // Memory of one thread: logits [vocabulary], blocks [blocks of the vocabulary], order [vocabulary] where tokens are
  // cut.
  SampledRow(const Backend::Sample& op, R* logits, double* blocks, std::int32_t* order)
      : op_(op), own_(logits), blocks_(blocks), order_(order) {}

  static bool cuts(const Backend::Sample& op) { return (op.top_k > 0 && op.top_k < op.vocabulary) || op.top_p < 1; }

  void run(std::int64_t row) {
    gather(row);
    const R largest = lane_max<R>(op_.vocabulary, kNone, [this](std::int64_t i) { return at(i); });
    const double normaliser = sum_exp(largest, 1.0);
    const bool drawable = std::isfinite(largest) && std::isfinite(normaliser);
    // Reads the logit before a ban hides it: no token that is drawn is banned.
    std::int32_t token = -1;
    R log_prob = std::numeric_limits<R>::quiet_NaN();
    if (drawable) {
      const bool known = !ban(row) && op_.temperature == 1;  // then the sums of above are those to draw from
      token =
          known ? draw_from(op_.uniform.as<double>()[row], largest, normaliser) : draw(op_.uniform.as<double>()[row]);
      log_prob = static_cast<R>(static_cast<double>(at(token)) - static_cast<double>(largest) - std::log(normaliser));
    }
    op_.tokens.as<std::int32_t>()[row] = token;
    op_.log_probs.as<R>()[row] = log_prob;
  }

 private:
  static constexpr R kNone = -std::numeric_limits<R>::infinity();
  R at(std::int64_t i) const { return logits_[i]; }
  std::int64_t block_count() const { return (op_.vocabulary + kSumBlock - 1) / kSumBlock; }
  std::int32_t first_of(R value) const {
    return static_cast<std::int32_t>(std::find(logits_, logits_ + op_.vocabulary, value) - logits_);
  }

  void gather(std::int64_t row) {
    const std::int64_t rows = op_.logits.shape[1], columns = op_.logits.shape[2];
    const R* from = op_.logits.as<R>() + row * columns;
    logits_ = columns >= op_.vocabulary ? from : own_;
    if (logits_ == from) return;
    for (std::int64_t first = 0; first < op_.vocabulary; first += columns, from += rows * columns)
      std::copy_n(from, std::min(columns, op_.vocabulary - first), own_ + first);
  }
  bool ban(std::int64_t row) {
    if (op_.banned.empty() || op_.bans.as<std::int32_t>()[row] == 0) return false;
    if (logits_ != own_) std::copy_n(logits_, op_.vocabulary, own_);
    logits_ = own_;
    for (std::int64_t i = 0; i < op_.banned.elements(); ++i) {
      const std::int32_t token = op_.banned.as<std::int32_t>()[i];
      if (token >= 0 && token < op_.vocabulary) own_[token] = kNone;
    }
    return true;
  }

  // Sum of exp((logit - largest) / temperature) of the tokens [first, first + count).
  double sum_block(R largest, R inverse, std::int64_t first, std::int64_t count) {
    const R* values = logits_ + first;
    return static_cast<double>(
        lane_sum<R>(count, [=](std::int64_t i) { return exp_fast((values[i] - largest) * inverse); }));
  }
  double sum_exp(R largest, double temperature) {
    const R inverse = static_cast<R>(1.0 / temperature);
    double sum = 0;
    for (std::int64_t block = 0; block < block_count(); ++block) {
      const std::int64_t first = block * kSumBlock;
      blocks_[block] = sum_block(largest, inverse, first, std::min(kSumBlock, op_.vocabulary - first));
      sum += blocks_[block];
    }
    return sum;
  }

  std::int32_t draw(double uniform) {
    const R largest = lane_max<R>(op_.vocabulary, kNone, [this](std::int64_t i) { return at(i); });
    if (!std::isfinite(largest)) return -1;  // every token is banned
    if (op_.temperature == 0) return first_of(largest);
    return draw_from(uniform, largest, sum_exp(largest, op_.temperature));
  }
  std::int32_t draw_from(double uniform, R largest, double sum) {
    return cuts(op_) ? draw_candidate(uniform, largest, sum) : draw_any(uniform, largest, sum);
  }

  std::int32_t draw_any(double uniform, R largest, double sum) {
    const R inverse = static_cast<R>(1.0 / op_.temperature);
    double left = uniform * sum;
    std::int64_t block = 0;
    while (block + 1 < block_count() && left >= blocks_[block]) left -= blocks_[block++];
    const std::int64_t first = block * kSumBlock;
    const std::int64_t last = std::min(first + kSumBlock, op_.vocabulary);
    std::int64_t token = -1;
    for (std::int64_t i = first; i < last; ++i) {
      const double weight = static_cast<double>(exp_fast((at(i) - largest) * inverse));
      if (weight > 0) token = i;  // the block's last one that can be drawn, where rounding leaves a crumb
      if ((left -= weight) < 0 && weight > 0) break;
    }
    return token < 0 ? first_of(largest) : static_cast<std::int32_t>(token);
  }

  // Orders the `count` likeliest tokens at the front of order_.
  void order_front(std::int64_t count) {
    const auto likelier = [this](std::int32_t a, std::int32_t b) { return at(a) != at(b) ? at(a) > at(b) : a < b; };
    std::int32_t* const end = order_ + count;
    if (count < op_.vocabulary) std::nth_element(order_, end - 1, order_ + op_.vocabulary, likelier);
    std::sort(order_, end, likelier);
  }

  std::int32_t draw_candidate(double uniform, R largest, double sum) {
    const std::int64_t most = op_.top_k > 0 ? std::min(op_.top_k, op_.vocabulary) : op_.vocabulary;
    const R inverse = static_cast<R>(1.0 / op_.temperature);
    const auto weight = [&](std::int32_t token) {
      return static_cast<double>(exp_fast((at(token) - largest) * inverse));
    };
    std::iota(order_, order_ + op_.vocabulary, 0);
    // top_p alone: sort as many as its share turns out to need.
    std::int64_t sorted = op_.top_k > 0 ? most : std::min<std::int64_t>(256, most);
    order_front(sorted);
    if (op_.top_k > 0) {
      sum = 0;
      for (std::int64_t i = 0; i < most; ++i) sum += weight(order_[i]);
    }
    double kept = 0;
    std::int64_t count = 0;
    while (count < most && (count == 0 || kept < op_.top_p * sum)) {
      if (count == sorted) order_front(sorted = std::min(4 * sorted, most));
      kept += weight(order_[count++]);
    }
    double left = uniform * kept;
    for (std::int64_t i = 0; i < count; ++i)
      if ((left -= weight(order_[i])) < 0) return order_[i];
    return order_[0];
  }

  const Backend::Sample& op_;
  const R* logits_ = nullptr;  // of the row, shard behind shard: as they lie, or in own_
  R* own_;
  double* blocks_;  // sums of blocks
  std::int32_t* order_;
};

template <class R>
void sample(Backend& backend, const Backend::Sample& op) {
  const std::int64_t rows = op.logits.shape[1], threads = omp_get_max_threads();
  const std::int64_t width = (op.vocabulary + kSumBlock - 1) / kSumBlock * kSumBlock, blocks = width / kSumBlock + 8;
  const Scratch<R> logits(backend, threads * width);
  const Scratch<double> sums(backend, threads * blocks);
  const Scratch<std::int32_t> order(backend, SampledRow<R>::cuts(op) ? threads * width : 0);
#pragma omp parallel if (rows > 1)
  {
    const std::int64_t thread = omp_get_thread_num();
    SampledRow<R> row(op, logits.data() + thread * width, sums.data() + thread * blocks, order.data() + thread * width);
#pragma omp for schedule(dynamic)
    for (std::int64_t i = 0; i < rows; ++i) row.run(i);
  }
}

}  // namespace

void CpuBackend::do_sample(const Sample& op) {
  if (op.logits.dtype == DType::f64) return coxswain::sample<double>(*this, op);
  coxswain::sample<float>(*this, op);
}

}  // namespace coxswain
