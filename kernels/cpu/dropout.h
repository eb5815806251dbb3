// A row of a dropout mask at a time, four words of random numbers at once.
#pragma once

#include "kernels/dropout.h"

namespace coxswain {

class DropoutRow {
 public:
  DropoutRow(const DropoutSpec& dropout, std::int64_t columns)
      : mask_(dropout, columns), columns_(static_cast<std::uint64_t>(columns)) {}

  bool active() const { return mask_.active(); }

  // factors[c] = 0 or 1 / (1 - probability), for the columns of row `row` of the view.
  template <class R>
  void fill(std::int64_t row, R* factors) const {
    const std::uint64_t start = mask_.start_of(row);
    const auto single = [this, start](std::uint64_t c) {
      return mask_.template factor<R>(philox_word(mask_.key(), start + c));
    };
    std::uint64_t done = 0;
    for (; done < columns_ && (start + done) % 4 != 0; ++done) factors[done] = single(done);
    const std::uint64_t first_block = (start + done) / 4, blocks = (columns_ - done) / 4;
    for (std::uint64_t block = 0; block < blocks; ++block) {
      const auto words = philox(mask_.key(), first_block + block);
      for (std::uint64_t i = 0; i < 4; ++i) factors[done + 4 * block + i] = mask_.template factor<R>(words[i]);
    }
    for (done += 4 * blocks; done < columns_; ++done) factors[done] = single(done);
  }

 private:
  DropoutMask mask_;
  std::uint64_t columns_;
};

}  // namespace coxswain
