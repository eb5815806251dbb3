// Batches of tokens that follow from their place alone.
#pragma once

#include "train/global_batch.h"

namespace coxswain {

// Token i of the batch stands at position i modulo `positions`.
inline GlobalBatch token_batch(int size, int length, std::int64_t positions) {
  GlobalBatch batch;
  batch.size = size;
  batch.load = [length, positions](std::int64_t first, int count) {
    MicroBatch micro;
    micro.sequences = count;
    micro.length = length;
    for (std::int64_t i = first * length; i < (first + count) * length; ++i) {
      micro.tokens.push_back(static_cast<std::int32_t>(i * 29 % 61));
      micro.targets.push_back(static_cast<std::int32_t>(i * 31 % 61));
      micro.weights.push_back(1);
      micro.positions.push_back(static_cast<std::int32_t>(i % positions));
    }
    return micro;
  };
  return batch;
}

}  // namespace coxswain
