// The two collectives of tensor and sequence parallelism (Korthikanti et al. 2022), each the other's gradient.
//
// Between tensor-parallel regions a rank holds a run of rows [m / P_t, n] of a micro-batch; inside, all rows and its
// own shards. Collective over grid.tensor().
#pragma once

#include "kernels/backend.h"
#include "model/config.h"
#include "parallel/process_grid.h"
#include "tensor/parameter.h"
#include "tensor/tensor.h"

namespace coxswain {

// What every module of a model is built with. It must outlive them.
struct ModelContext {
  Backend& backend;
  const ProcessGrid& grid;
  const ModelConfig& config;

  DType working_type() const { return config.working_type(); }
  int shards() const { return grid.config().tensor_shards; }       // S
  int local_shards() const { return grid.local_tensor_shards(); }  // S / P_t
  std::int64_t local_rows(std::int64_t rows) const { return rows / grid.config().tensor; }
  Tensor tensor(const Shape& shape) const { return Tensor(backend, working_type(), shape); }
};

// All rows: gathered into memory of its own, or a view of the input where the group has one rank.
struct Gathered {
  Tensor owned;
  TensorView view;
};
Gathered gather_rows(const ModelContext& context, TensorView local_rows, const char* name);

// partials [S / P_t, m, n], one for each local shard -> this rank's rows [m / P_t, n] of their sum over all shards.
Tensor sum_and_scatter_rows(const ModelContext& context, Tensor partials, const char* name);

// Consecutive rows of local shard `shard`: the chunk of rows that a replicated parameter's gradient is summed over.
TensorView shard_rows(const ModelContext& context, TensorView local_rows, int shard);

// A parameter of the global shape, cut along shard_dim (-1: replicated) into the context's shards.
// padded_extent: of the whole cut dimension where it is larger than the global one; 0: the global one.
Parameter make_parameter(const ModelContext& context, const std::string& name, const Shape& global, int shard_dim,
                         std::int64_t padded_extent = 0);

}  // namespace coxswain
