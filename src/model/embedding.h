// Token and learned position embeddings. The vocabulary is cut over tensor shards: every shard looks up the rows that
// it holds, and the sum over shards (one of them non-zero) is scattered over rows. Collective over grid.tensor().
#pragma once

#include "model/batch.h"
#include "model/parallel_linear.h"

namespace coxswain {

// The [v, h] table, cut by rows and padded at the end. The output projection has one of the same shape.
Parameter make_vocabulary_parameter(const ModelContext& context, const std::string& name);
// Rows of the vocabulary in front of this local shard, and how many of its rows are no padding.
std::int64_t first_vocabulary_row(const Parameter& table, int local_shard);
std::int64_t valid_vocabulary_rows(const Parameter& table, int local_shard);

class Embedding {
 public:
  explicit Embedding(const ModelContext& context);
  Tensor forward(const Batch& batch);                 // -> [m / P_t, h]
  void backward(TensorView dy, const Batch& batch);   // dy [m / P_t, h]
  DecodeRows decode(const DecodeBatch& batch) const;  // -> [m, h]
  void visit(const ParameterVisitor& visitor);
  Parameter& table() { return table_; }

 private:
  DropoutSpec dropout(const Batch& batch) const;
  TensorView local_positions(const Batch& batch) const;  // i32 [m / P_t]

  const ModelContext& context_;
  Parameter table_;
  Parameter positions_;  // [context, h]; none with rotary positions
};

}  // namespace coxswain
