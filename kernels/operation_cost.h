// What one operation has cost.
#pragma once

#include <cstdint>

namespace coxswain {

struct OperationCost {
  std::int64_t calls = 0;
  double flops = 0;    // of matrix products and attention; the others are bound by their traffic and count none
  double bytes = 0;    // least memory traffic: every operand once
  double seconds = 0;  // only when timing is on

  OperationCost& operator+=(const OperationCost& other) {
    calls += other.calls, flops += other.flops, bytes += other.bytes, seconds += other.seconds;
    return *this;
  }
};

}  // namespace coxswain
