// A trainable tensor that knows its place in the global one.
//
// The global tensor is cut along one dimension into `shards` equal pieces (the last one may reach past the end: padding
// of a vocabulary). This rank holds pieces [first_shard, first_shard + local_shards), each dense. A parameter that is
// not cut (shard_dim < 0) has one value, the same on every tensor rank, and a gradient for every local shard: each
// shard of rows adds to its own, and the fixed tree adds them up.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/view.h"

namespace coxswain {

enum class Initial { zero, one, normal };

struct Parameter {
  std::string name;               // "layer_00/attention/qkv/weight"; "/model/" goes before it in a checkpoint
  Shape global_shape;             // [rows] or [rows, columns], without padding
  int shard_dim = -1;             // 0: rows are cut, 1: columns are cut, -1: replicated
  int shards = 1;                 // S, in the whole grid
  int first_shard = 0;            // of this rank
  int local_shards = 1;           // S / P_t
  std::int64_t shard_extent = 0;  // extent of one piece along shard_dim, padding included; 0 if replicated
  Initial initial = Initial::zero;
  double deviation = 0;    // of a normal initial value
  bool decay = false;      // weight decay applies
  bool picked = false;     // rows are taken from it; it is never multiplied
  bool tied_copy = false;  // the output projection's use of the token embedding: same name, gradient of its own

  TensorView values;     // [local_shards, piece...], or [1, ...] if replicated; working type
  TensorView gradients;  // FP32 [local_shards, piece...]

  bool is_sharded() const { return shard_dim >= 0; }
  Shape piece_shape() const;  // of one shard
  TensorView value(int local_shard) const { return values[is_sharded() ? local_shard : 0]; }
  TensorView gradient(int local_shard) const { return gradients[local_shard]; }
};

}  // namespace coxswain
