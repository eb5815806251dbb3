#include "rl/win_rate.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>
#include <vector>

namespace coxswain {
namespace {

void check_sizes(std::size_t ours, std::size_t others) {
  if (ours != others) throw std::invalid_argument(fmt::format("win rate of {} against {} numbers", ours, others));
}

std::vector<double> outcomes(std::span<const double> ours, std::span<const double> theirs) {
  check_sizes(ours.size(), theirs.size());
  std::vector<double> wins;
  for (std::size_t i = 0; i < ours.size(); ++i)
    wins.push_back(ours[i] > theirs[i] ? 1 : ours[i] == theirs[i] ? 0.5 : 0);
  return wins;
}

Proportion rate_of(const std::vector<double>& wins) {
  double sum = 0;
  for (const double win : wins) sum += win;
  return proportion(sum, std::ssize(wins));
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

// tanh of the differences of length, in units of their standard deviation.
std::vector<double> length_features(std::span<const double> ours, std::span<const double> theirs) {
  const auto n = static_cast<double>(ours.size());
  double sum = 0, squares = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) sum += ours[i] - theirs[i];
  for (std::size_t i = 0; i < ours.size(); ++i) squares += std::pow(ours[i] - theirs[i] - sum / n, 2);
  const double deviation = std::sqrt(squares / n);
  std::vector<double> features;
  for (std::size_t i = 0; i < ours.size(); ++i)
    features.push_back(deviation > 0 ? std::tanh((ours[i] - theirs[i]) / deviation) : 0.0);
  return features;
}

// The fit of theta and phi: minus the log-likelihood with phi's prior, and its derivatives.
class Regression {
 public:
  Regression(const std::vector<double>& wins, const std::vector<double>& features) : wins_(wins), features_(features) {}

  double loss(double theta, double phi) const {
    double sum = 0.5 * kPriorPrecision * phi * phi;
    for (std::size_t i = 0; i < wins_.size(); ++i) {
      const double x = theta + phi * features_[i];
      sum += std::log1p(std::exp(-std::abs(x))) + (x > 0 ? x : 0) - wins_[i] * x;
    }
    return sum;
  }
  // Newton's method; a step that does not descend is halved. The loss is convex.
  void fit() {
    for (int iteration = 0; iteration < 100; ++iteration) {
      differentiate();
      const double step_theta = -(h_pp_ * g_t_ - h_tp_ * g_p_) / determinant();
      const double step_phi = -(h_tt_ * g_p_ - h_tp_ * g_t_) / determinant();
      double size = 1;
      const double before = loss(theta_, phi_);
      while (size > 1e-10 && loss(theta_ + size * step_theta, phi_ + size * step_phi) > before) size /= 2;
      theta_ += size * step_theta;
      phi_ += size * step_phi;
      if (std::abs(step_theta) + std::abs(step_phi) < 1e-12) break;
    }
    differentiate();
  }
  double theta() const { return theta_; }
  double phi() const { return phi_; }
  double theta_error() const { return std::sqrt(h_pp_ / determinant()); }  // by the inverse of the curvature

 private:
  static constexpr double kPriorPrecision = 0.1;

  double determinant() const { return h_tt_ * h_pp_ - h_tp_ * h_tp_; }
  void differentiate() {
    g_t_ = 0, g_p_ = kPriorPrecision * phi_, h_tt_ = 0, h_tp_ = 0, h_pp_ = kPriorPrecision;
    for (std::size_t i = 0; i < wins_.size(); ++i) {
      const double p = logistic(theta_ + phi_ * features_[i]), curvature = p * (1 - p);
      g_t_ += p - wins_[i];
      g_p_ += (p - wins_[i]) * features_[i];
      h_tt_ += curvature;
      h_tp_ += curvature * features_[i];
      h_pp_ += curvature * features_[i] * features_[i];
    }
  }

  const std::vector<double>& wins_;
  const std::vector<double>& features_;
  double theta_ = 0, phi_ = 0;
  double g_t_ = 0, g_p_ = 0, h_tt_ = 0, h_tp_ = 0, h_pp_ = 0;
};

}  // namespace

Proportion win_rate(std::span<const double> ours, std::span<const double> theirs) {
  return rate_of(outcomes(ours, theirs));
}

LengthControlled length_controlled_win_rate(std::span<const double> ours, std::span<const double> theirs,
                                            std::span<const double> our_lengths,
                                            std::span<const double> their_lengths) {
  const std::vector<double> wins = outcomes(ours, theirs);
  check_sizes(our_lengths.size(), wins.size());
  check_sizes(their_lengths.size(), wins.size());
  const Proportion plain = rate_of(wins);
  if (plain.share <= 0 || plain.share >= 1) return {plain, 0};
  const std::vector<double> features = length_features(our_lengths, their_lengths);
  Regression regression(wins, features);
  regression.fit();
  const double theta = regression.theta(), reach = kNormal95 * regression.theta_error();
  return {{plain.trials, logistic(theta), {logistic(theta - reach), logistic(theta + reach)}}, regression.phi()};
}

}  // namespace coxswain
