// What a backend's memory is for, and how much of it there is.
#pragma once

#include <array>
#include <cstddef>

namespace coxswain {

// A block counts as what it was first taken from the system for.
// compressed: weights a second time, see HeldWeights; on processors alone.
enum class MemoryKind { weights, gradients, optimizer, activations, communication, cache, compressed };
constexpr int kMemoryKinds = 7;

struct MemoryUse {
  std::size_t in_use = 0;                                 // bytes held by live tensors
  std::size_t peak = 0;                                   // highest in_use since the last reset
  std::size_t reserved = 0;                               // bytes taken from the system
  std::array<std::size_t, kMemoryKinds> taken_by_kind{};  // from the system so far, by what it was first for
};

}  // namespace coxswain
