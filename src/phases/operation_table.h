// Operations beside their floors, as benchmarks print them: the longer of an operation's arithmetic at the rate of
// products and its traffic at the rate of the memory, both measured in the same run.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"

namespace coxswain {

// What a machine reaches at best; 0 where it is not known.
struct MachineRates {
  double flops = 0, bytes = 0;  // a second

  // Seconds that the operation takes at least.
  double floor(const OperationCost& cost) const;
};

// FLOP/s of a large product with the backend's library.
double product_rate(Backend& backend, DType type);

struct TimedOperation {
  std::string name;
  OperationCost cost;
  double floor = 0;  // seconds
};

// Means of operations over `steps` steps of so many seconds each, the longest first, with a head line and their sum.
std::string operation_table(std::vector<TimedOperation> operations, double steps, double step_seconds);

}  // namespace coxswain
