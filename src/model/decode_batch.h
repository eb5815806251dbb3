// Rows that go through the model together while it generates: each the token at one position of one slot's text.
//
// Every tensor rank has all rows [m, h] (they are few), and every row is computed as if it were alone.
#pragma once

#include "model/tensor_parallel.h"

namespace coxswain {

struct DecodeBatch {
  std::int64_t rows = 0;                // m
  std::int64_t capacity = 0;            // the most rows that ever come: memory is taken for so many
  std::int64_t sampled_capacity = 0;    // the most that are sampled at once
  TensorView tokens, positions, slots;  // i32 [m]
  TensorView sampled;                   // i32 [s]: rows whose next token is wanted
  TensorView uniform, bans;             // f64 [s], i32 [s]: how it is drawn, see Backend::Sample
};

// Memory for `capacity` rows of which the first ones are seen, so that the pool meets few sizes.
struct DecodeRows {
  DecodeRows() = default;
  // [m, columns], or [parts, m, columns] dense
  DecodeRows(const ModelContext& context, const DecodeBatch& batch, std::int64_t columns);
  DecodeRows(const ModelContext& context, const DecodeBatch& batch, std::int64_t parts, std::int64_t columns);
  DecodeRows(Tensor memory, const Shape& shape);       // a dense view of the memory's beginning
  operator const TensorView&() const { return view; }  // NOLINT: rows are used wherever a view is asked for

  Tensor owned;
  TensorView view;
};

// partials [S / P_t, m, n] -> [m, n]: the sum over all shards in the fixed tree, on every tensor rank.
DecodeRows sum_over_shards(const ModelContext& context, DecodeRows partials, const char* name);

}  // namespace coxswain
