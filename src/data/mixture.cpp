#include "data/mixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace coxswain {

namespace {

constexpr std::int64_t kOne = std::int64_t{1} << 32;

}  // namespace

Mixture::Mixture(const std::vector<double>& weights) : share_(weights.size()) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::size_t s = 0; s < weights.size(); ++s) {
    if (!(weights[s] > 0) || !std::isfinite(sum)) {
      throw Error(ExitCode::usage, fmt::format("[data] source: weight {} is not a positive number", weights[s]));
    }
    share_[s] = std::llround(weights[s] / sum * static_cast<double>(kOne));
  }
  // What rounding left goes to the largest, where it is felt least.
  const std::int64_t rest = kOne - std::accumulate(share_.begin(), share_.end(), std::int64_t{0});
  *std::max_element(share_.begin(), share_.end()) += rest;
  now_.drawn.assign(weights.size(), 0);
  now_.credit.assign(weights.size(), 0);
  ahead_ = now_;
}

Mixture::Draw Mixture::draw(State& state) const {
  for (std::size_t s = 0; s < share_.size(); ++s) state.credit[s] += share_[s];
  const auto best = std::max_element(state.credit.begin(), state.credit.end());  // the first of equals
  *best -= kOne;
  const auto source = best - state.credit.begin();
  return {static_cast<int>(source), state.drawn[static_cast<std::size_t>(source)]++};
}

Mixture::Draw Mixture::at(std::int64_t sample) {
  if (sample < consumed_) {
    throw Error(ExitCode::internal, fmt::format("sample {} was asked for after sample {}", sample, consumed_));
  }
  while (consumed_ + static_cast<std::int64_t>(planned_.size()) <= sample) planned_.push_back(draw(ahead_));
  return planned_[static_cast<std::size_t>(sample - consumed_)];
}

void Mixture::advance(std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    draw(now_);
    if (planned_.empty()) {
      draw(ahead_);
    } else {
      planned_.pop_front();
    }
  }
  consumed_ += count;
}

void Mixture::visit(Archive& archive, const std::string& name) {
  archive.value(name + "/consumed", consumed_);
  for (std::size_t s = 0; s < share_.size(); ++s) {
    const std::string source = fmt::format("{}/source_{}", name, s);
    archive.value(source + "/drawn", now_.drawn[s]);
    archive.value(source + "/credit", now_.credit[s]);
  }
  if (!archive.reading()) return;
  ahead_ = now_;
  planned_.clear();
}

}  // namespace coxswain
