// Causal self-attention with grouped key/value heads, cut over tensor shards by heads (Shoeybi et al. 2019).
//
// One product makes queries, keys and values: its outputs are ordered by key/value group, [group: a/g query heads, key
// head, value head] x d, so that every shard is a run of rows. Attention itself is computed in blocks (Dao 2023).
#pragma once

#include "model/batch.h"
#include "model/kv_cache.h"
#include "model/parallel_linear.h"
#include "model/recompute.h"

namespace coxswain {

class Attention {
 public:
  struct Saved {
    Tensor x;            // [m / P_t, h] input
    Tensor qkv;          // [S / P_t, m, (a + 2 g) d / S], rotated
    Tensor out;          // [S / P_t, m, a d / S]; dropped by selective recomputation
    Tensor log_sum_exp;  // f32 [S / P_t, head sets, b, query heads of a set, t]; dropped too
  };

  Attention(const ModelContext& context, const std::string& name, int layer);
  // x [m / P_t, h] -> [m / P_t, h], to be added to the residual together with bias()
  Tensor forward(Tensor x, const Batch& batch, Recompute recompute, Saved& saved);
  // ddelta: gradient of forward's result -> gradient of x
  Tensor backward(TensorView ddelta, const Batch& batch, Saved& saved);
  // x [m, h] -> [m, h]. `layer`: its place in the cache.
  DecodeRows decode(TensorView x, const DecodeBatch& batch, const KvCache& cache, int layer);
  TensorView bias() const { return projection_.bias(); }
  void visit(const ParameterVisitor& visitor);

 private:
  // Heads that one call of the kernel sees: all of them if every query head has its own key head, else those of a group
  // (the query heads of several groups have no common stride).
  struct HeadSet {
    TensorView q, k, v;      // [b, t, heads, d], views of a shard's qkv
    TensorView out;          // [b, t, query heads, d]
    TensorView log_sum_exp;  // [b, query heads, t]
  };
  TensorView heads(TensorView qkv_shard, const Batch& batch, std::int64_t first, std::int64_t count,
                   std::int64_t step) const;
  HeadSet qkv_heads(TensorView qkv_shard, const Batch& batch, int set) const;
  HeadSet head_set(const Saved& saved, const Batch& batch, int shard, int set) const;
  int head_sets() const { return query_heads_ == kv_heads_ ? 1 : kv_heads_; }
  void rotate(TensorView qkv, const Batch& batch, int direction);  // queries and keys, in place
  void attend(const Batch& batch, Saved& saved);                   // fills out and log_sum_exp
  AttentionMask mask_of(const Batch& batch) const;

  const ModelContext& context_;
  int layer_, query_heads_, kv_heads_, head_size_;  // heads of one shard
  std::string name_;
  ColumnParallelLinear qkv_;
  RowParallelLinear projection_;
};

}  // namespace coxswain
