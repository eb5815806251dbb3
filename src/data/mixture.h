// Which source the next sample of a weighted mixture comes from, without chance: the one that lags most behind its
// share. With weights w that add up to one, after n samples each source has been drawn within one of w n times for two
// sources, and within a few for many. Integers only: shares are multiples of 2^-32.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "tensor/archive.h"

namespace coxswain {

class Mixture {
 public:
  struct Draw {
    int source = 0;
    std::int64_t index = 0;  // number of this draw among those of its source, from 0
  };

  explicit Mixture(const std::vector<double>& weights);  // positive; they need not add up to one

  Draw at(std::int64_t sample);      // sample >= consumed()
  void advance(std::int64_t count);  // the next `count` samples are done with
  std::int64_t consumed() const { return consumed_; }
  std::int64_t drawn(int source) const { return now_.drawn[static_cast<std::size_t>(source)]; }
  void visit(Archive& archive, const std::string& name);

 private:
  struct State {
    std::vector<std::int64_t> drawn;
    std::vector<std::int64_t> credit;  // share x samples - drawn, in units of 2^-32
  };
  Draw draw(State& state) const;

  std::vector<std::int64_t> share_;  // of each source, adding up to 2^32
  std::int64_t consumed_ = 0;
  State now_;    // after consumed_ samples
  State ahead_;  // after consumed_ + planned_.size() samples
  std::deque<Draw> planned_;
};

}  // namespace coxswain
