#include "phases/wall_clock.h"

#include <algorithm>
#include <chrono>

namespace coxswain {

namespace {

const auto program_start = std::chrono::steady_clock::now();

constexpr double kForget = 0.98;      // a slow step is remembered for some fifty steps
constexpr double kMargin = 1.5;       // how much slower than the slowest the next one may be
constexpr double kSmallest = 1.0;     // seconds
constexpr double kFirstSave = 30.0;   // seconds kept for a save when none was seen yet ...
constexpr double kFirstShare = 0.05;  // ... but no more than this share of the limit

}  // namespace

double seconds_since_start() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - program_start).count();
}

void WallClock::step_took(double seconds) { step_seconds_ = std::max(seconds, kForget * step_seconds_); }

void WallClock::save_took(double seconds) {
  save_seconds_ = std::max(seconds, kForget * save_seconds_);
  saved_ = true;
}

double WallClock::reserve_seconds() const {
  const double save = saved_ ? save_seconds_ : std::min(kFirstSave, kFirstShare * limit_seconds_);
  return kMargin * (step_seconds_ + save) + kSmallest;
}

}  // namespace coxswain
