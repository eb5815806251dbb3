// Keys and values of the texts that are being generated: of one stage's layers and this rank's tensor shards.
#pragma once

#include "model/tensor_parallel.h"

namespace coxswain {

class KvCache {
 public:
  // Of `slots` texts of up to `context` tokens.
  KvCache(const ModelContext& context, int layers, int slots, int context_length);

  // [slots, g / S, context, d]; `layer` counts within the stage. The context is rounded up to whole blocks.
  TensorView keys(int layer, int shard) const { return part(layer, shard, 0); }
  TensorView values(int layer, int shard) const { return part(layer, shard, 1); }
  std::size_t bytes() const { return memory_.view().bytes(); }

 private:
  TensorView part(int layer, int shard, int which) const {
    return memory_[(layer * local_shards_ + shard) * 2 + which];
  }

  int local_shards_;
  Tensor memory_;  // [layers x S / P_t x 2, slots, g / S, context, d]
};

}  // namespace coxswain
