// Counter-based random words: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2,
// 3", SC'11) as implemented by Random123.
//
// Block `counter` of a key yields words 4 * counter .. 4 * counter + 3 of that key's sequence. The key's stream is the
// upper half of the 128-bit counter and the seed is the 64-bit key, so two (seed, stream) pairs never share a block.
#pragma once

#include <Random123/philox.h>

#include <array>
#include <cstdint>

#include "kernels/backend.h"

namespace coxswain {

COXSWAIN_EVERYWHERE inline std::array<std::uint32_t, 4> philox(const RandomKey& key, std::uint64_t counter) {
  const auto low = [](std::uint64_t word) { return static_cast<std::uint32_t>(word); };
  const auto high = [](std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32); };
  const r123::Philox4x32::ctr_type block = {{low(counter), high(counter), low(key.stream), high(key.stream)}};
  const r123::Philox4x32::key_type seed = {{low(key.seed), high(key.seed)}};
  const r123::Philox4x32::ctr_type words = r123::Philox4x32()(block, seed);
  return {words[0], words[1], words[2], words[3]};
}

// Word number `index` of the key's sequence: what one element draws. By selections: an array that is indexed by a
// variable would lie in a GPU's local memory.
COXSWAIN_EVERYWHERE inline std::uint32_t philox_word(const RandomKey& key, std::uint64_t index) {
  const std::array<std::uint32_t, 4> words = philox(key, index / 4);
  const std::uint32_t first = index % 2 == 0 ? words[0] : words[1], second = index % 2 == 0 ? words[2] : words[3];
  return index / 2 % 2 == 0 ? first : second;
}

}  // namespace coxswain
