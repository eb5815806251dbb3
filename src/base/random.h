// Host-side random numbers by counter: a value depends on (key, index) alone, never on who asks or in which order.
#pragma once

#include <cstdint>

#include "kernels/philox.h"

namespace coxswain {

// Number `index` of the key's sequence, uniform in [0, bound). Lemire's multiplication; the bias is below bound / 2^64.
std::uint64_t uniform_integer(const RandomKey& key, std::uint64_t index, std::uint64_t bound);

double uniform_real(const RandomKey& key, std::uint64_t index);  // in [0, 1), 53 bits

// A random order of [0, size) that needs no memory: a Feistel network whose rounds are Philox, on the smallest even
// number of bits that holds size, repeated until the value falls below size (cycle walking; Black and Rogaway 2002).
// Fewer than four rounds of walking on average. Bijective for every key.
class Permutation {
 public:
  Permutation(const RandomKey& key, std::uint64_t size);

  std::uint64_t size() const { return size_; }
  std::uint64_t operator()(std::uint64_t index) const;  // index < size
  std::uint64_t inverse(std::uint64_t value) const;

 private:
  static constexpr int kRounds = 6;
  std::uint64_t half(std::uint64_t word, int round) const;
  std::uint64_t forward(std::uint64_t value) const;
  std::uint64_t backward(std::uint64_t value) const;

  RandomKey key_;
  std::uint64_t size_ = 0;
  int half_bits_ = 1;
  std::uint64_t half_mask_ = 1;
};

}  // namespace coxswain
