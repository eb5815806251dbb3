#include "rl/best_of_n.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace coxswain {
namespace {

// C(i - 1, n - 1) / C(N, n) for i = 1 ... N, from the last, n / N, downwards: no large numbers.
std::vector<double> weights_of_ranks(std::size_t samples, std::size_t n) {
  std::vector<double> weights(samples, 0.0);
  double weight = static_cast<double>(n) / static_cast<double>(samples);
  for (std::size_t i = samples; i >= n; --i) {
    weights[i - 1] = weight;
    if (i > 1) weight *= static_cast<double>(i - n) / static_cast<double>(i - 1);
  }
  return weights;
}

}  // namespace

double best_of_n_divergence(double n) { return std::log(n) - (n - 1) / n; }

double expected_best_of_n(std::span<const double> proxy, std::span<const double> measured, int n) {
  const std::size_t samples = proxy.size();
  if (measured.size() != samples || n < 1 || static_cast<std::size_t>(n) > samples)
    throw std::invalid_argument(
        fmt::format("best of {} from {} scores and {} measured values", n, samples, measured.size()));
  if (std::any_of(proxy.begin(), proxy.end(), [](double x) { return std::isnan(x); }))
    throw std::invalid_argument("best of n: a score is not a number");
  std::vector<std::size_t> order(samples);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return proxy[a] < proxy[b]; });
  const std::vector<double> weights = weights_of_ranks(samples, static_cast<std::size_t>(n));
  double sum = 0;
  for (std::size_t first = 0, last = 0; first < samples; first = last) {
    double weight = 0, values = 0;
    for (last = first; last < samples && proxy[order[last]] == proxy[order[first]]; ++last) {
      weight += weights[last];
      values += measured[order[last]];
    }
    sum += weight * values / static_cast<double>(last - first);
  }
  return sum;
}

}  // namespace coxswain
