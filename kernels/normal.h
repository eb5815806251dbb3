// Normal numbers by global index. Element e = row * global_columns + column of the global tensor takes number e mod 4
// of Philox block e / 4, whose words (w0, w1) give numbers 0 and 1 and (w2, w3) give numbers 2 and 3 by Box and Muller:
//   r = sqrt(-2 ln u(w0)), a = 2 pi u(w1), numbers r cos a and r sin a, u(w) = (w + 1/2) / 2^32 in (0, 1).
// The largest magnitude is 6.8.
#pragma once

#include <array>
#include <cmath>
#include <numbers>

#include "kernels/philox.h"

namespace coxswain {

COXSWAIN_EVERYWHERE inline std::array<double, 4> normal_block(const RandomKey& key, std::uint64_t block) {
  const std::array<std::uint32_t, 4> words = philox(key, block);
  const auto uniform = [](std::uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; };
  std::array<double, 4> numbers;
  for (std::size_t pair = 0; pair < 4; pair += 2) {
    const double radius = std::sqrt(-2.0 * std::log(uniform(words[pair])));
    const double angle = 2.0 * std::numbers::pi * uniform(words[pair + 1]);
    numbers[pair] = radius * std::cos(angle);
    numbers[pair + 1] = radius * std::sin(angle);
  }
  return numbers;
}

}  // namespace coxswain
