// Dropout masks: element e (its global index) is kept if word e of the key's Philox sequence is at least
// probability * 2^32; kept values are divided by 1 - probability. Forward and backward draw the same mask, on any
// split of the rows.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/philox.h"

namespace coxswain {

class DropoutRow {
 public:
  DropoutRow(const DropoutSpec& dropout, std::int64_t columns)
      : dropout_(dropout),
        columns_(static_cast<std::uint64_t>(columns)),
        threshold_(static_cast<std::uint64_t>(std::ceil(static_cast<double>(dropout.probability) * 4294967296.0))),
        scale_(1.0 / (1.0 - static_cast<double>(dropout.probability))) {}

  bool active() const { return dropout_.probability > 0.0f; }

  // factors[c] = 0 or 1 / (1 - probability), for the columns of row `row` of the view.
  template <class R>
  void fill(std::int64_t row, R* factors) const {
    const std::uint64_t start = static_cast<std::uint64_t>(dropout_.first_row + row) * columns_;
    const auto factor = [this](std::uint32_t word) { return word >= threshold_ ? static_cast<R>(scale_) : R(0); };
    std::uint64_t done = 0;
    for (; done < columns_ && (start + done) % 4 != 0; ++done)
      factors[done] = factor(philox_word(dropout_.key, start + done));
    const std::uint64_t first_block = (start + done) / 4, blocks = (columns_ - done) / 4;
    for (std::uint64_t block = 0; block < blocks; ++block) {
      const auto words = philox(dropout_.key, first_block + block);
      for (std::uint64_t i = 0; i < 4; ++i) factors[done + 4 * block + i] = factor(words[i]);
    }
    for (done += 4 * blocks; done < columns_; ++done) factors[done] = factor(philox_word(dropout_.key, start + done));
  }

 private:
  DropoutSpec dropout_;
  std::uint64_t columns_;
  std::uint64_t threshold_;
  double scale_;
};

}  // namespace coxswain
