#include "base/random.h"

#include <fmt/format.h>

#include <bit>
#include <stdexcept>

namespace coxswain {

namespace {

std::uint64_t word64(const RandomKey& key, std::uint64_t index) {
  const auto words = philox(key, index / 2);
  const std::size_t first = index % 2 * 2;
  return words[first] | static_cast<std::uint64_t>(words[first + 1]) << 32;
}

}  // namespace

std::uint64_t uniform_integer(const RandomKey& key, std::uint64_t index, std::uint64_t bound) {
  if (bound == 0) throw std::invalid_argument("uniform_integer: bound 0");
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(word64(key, index)) * bound >> 64);
}

double uniform_real(const RandomKey& key, std::uint64_t index) {
  return static_cast<double>(word64(key, index) >> 11) * 0x1.0p-53;
}

Permutation::Permutation(const RandomKey& key, std::uint64_t size) : key_(key), size_(size) {
  const int bits = size > 1 ? std::bit_width(size - 1) : 1;
  half_bits_ = (bits + 1) / 2;
  half_mask_ = half_bits_ >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << half_bits_) - 1;
}

// Round function. A half has at most 32 bits, so (round, half) fits into one counter.
std::uint64_t Permutation::half(std::uint64_t word, int round) const {
  return philox(key_, static_cast<std::uint64_t>(round) << 32 | word)[0] & half_mask_;
}

std::uint64_t Permutation::forward(std::uint64_t value) const {
  std::uint64_t left = value >> half_bits_, right = value & half_mask_;
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t next = left ^ half(right, round);
    left = right;
    right = next;
  }
  return left << half_bits_ | right;
}

std::uint64_t Permutation::backward(std::uint64_t value) const {
  std::uint64_t left = value >> half_bits_, right = value & half_mask_;
  for (int round = kRounds - 1; round >= 0; --round) {
    const std::uint64_t last = right ^ half(left, round);
    right = left;
    left = last;
  }
  return left << half_bits_ | right;
}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
  if (index >= size_) throw std::out_of_range(fmt::format("permutation of {}: index {}", size_, index));
  std::uint64_t value = forward(index);
  while (value >= size_) value = forward(value);
  return value;
}

std::uint64_t Permutation::inverse(std::uint64_t value) const {
  if (value >= size_) throw std::out_of_range(fmt::format("permutation of {}: value {}", size_, value));
  std::uint64_t index = backward(value);
  while (index >= size_) index = backward(index);
  return index;
}

}  // namespace coxswain
