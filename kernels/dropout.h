// Dropout masks: element e (its global index) is kept if word e of the key's Philox sequence is at least
// probability * 2^32; kept values are divided by 1 - probability. Forward and backward draw the same mask, on any
// split of the rows and on any processor.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/philox.h"

namespace coxswain {

class DropoutMask {
 public:
  DropoutMask(const DropoutSpec& dropout, std::int64_t columns)
      : key_(dropout.key),
        first_(static_cast<std::uint64_t>(dropout.first_row * columns)),
        columns_(static_cast<std::uint64_t>(columns)),
        threshold_(static_cast<std::uint64_t>(std::ceil(static_cast<double>(dropout.probability) * 4294967296.0))),
        scale_(1.0 / (1.0 - static_cast<double>(dropout.probability))) {}

  bool active() const { return threshold_ > 0; }
  COXSWAIN_EVERYWHERE const RandomKey& key() const { return key_; }
  // The global index of the first element of row `row` of the view.
  COXSWAIN_EVERYWHERE std::uint64_t start_of(std::int64_t row) const {
    return first_ + static_cast<std::uint64_t>(row) * columns_;
  }
  // 0 or 1 / (1 - probability), for the word that an element has drawn.
  template <class R>
  COXSWAIN_EVERYWHERE R factor(std::uint32_t word) const {
    return word >= threshold_ ? static_cast<R>(scale_) : R(0);
  }

 private:
  RandomKey key_;
  std::uint64_t first_, columns_, threshold_;
  double scale_;
};

}  // namespace coxswain
