// Time since the program's start against the deck's limit: whether another step and a save still fit in.
#pragma once

#include <functional>

namespace coxswain {

double seconds_since_start();  // of the program, MPI's start included

class WallClock {
 public:
  using Now = std::function<double()>;
  explicit WallClock(double limit_minutes, Now now = seconds_since_start)  // 0: no limit
      : limit_seconds_(60 * limit_minutes), now_(std::move(now)) {}

  double now() const { return now_(); }
  void step_took(double seconds);
  void save_took(double seconds);
  // What the next step and the save after it may take: the slowest of the recent ones, with a margin.
  double reserve_seconds() const;
  bool must_stop() const { return limit_seconds_ > 0 && now_() + reserve_seconds() > limit_seconds_; }

 private:
  double limit_seconds_;
  Now now_;
  double step_seconds_ = 0, save_seconds_ = 0;
  bool saved_ = false;
};

}  // namespace coxswain
