// The two collectives of tensor and sequence parallelism (Korthikanti et al. 2022), each the other's gradient.
//
// Between tensor-parallel regions a rank holds a run of rows [m / P_t, n] of a micro-batch; inside, all rows and its
// own shards. Collective over grid.tensor(). Both go on beside arithmetic: a gather from its beginning until its rows
// are asked for, a sum from the computation of its partials until it is asked for. Products between the two are cut
// into blocks of rows where that is worth it (ModelContext::cuts_rows): on every grid alike, since the shape of a
// product fixes its bits.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "kernels/backend.h"
#include "model/config.h"
#include "parallel/process_grid.h"
#include "parallel/row_scatter.h"
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
  // Whether a product [rows, columns] beside a transfer of rows is computed in as many blocks of rows as there are
  // shards.
  bool cuts_rows(std::int64_t rows, std::int64_t columns) const {
    const std::int64_t least = grid.config().overlap_from;
    return shards() > 1 && least > 0 && rows % shards() == 0 && rows / shards() * columns >= least;
  }
  Tensor tensor(const Shape& shape) const { return Tensor(backend, working_type(), shape); }
};

// A run of a micro-batch's rows.
struct RowBlock {
  std::int64_t first = 0, count = 0;
  TensorView of(const TensorView& rows) const { return rows ? rows.slice(0, first, count) : rows; }
};

// All rows, which come from the other ranks beside what is asked for meanwhile. A view of the input where the group has
// one rank.
class GatheredRows {
 public:
  GatheredRows(const ModelContext& context, TensorView local_rows, const char* name);
  // For products with so many columns.
  GatheredRows(const ModelContext& context, TensorView local_rows, std::int64_t columns, const char* name);

  TensorView rows() const { return all_; }  // [m, n], of which only a block at work has come for sure
  TensorView all();                         // what is asked for from now on sees every row
  // Calls work for all rows; where these products are cut, for block after block: the own ones, then the others' as
  // they come.
  void for_each_block(const std::function<void(RowBlock)>& work);

 private:
  const ModelContext& context_;
  bool cut_;
  Tensor memory_;
  TensorView all_;
  std::vector<Request> arrivals_;  // from the rank so many steps further on, or from all; end before their memory does
};

// This rank's rows of the sum over all shards of partials that are computed here.
class ScatteredRows {
 public:
  // Of partials [rows, columns].
  ScatteredRows(const ModelContext& context, std::int64_t rows, std::int64_t columns, const char* name);
  // Calls work(block, partials [S / P_t, rows of the block, columns]) for all rows, which then leave; where such
  // products are cut, for block after block: the other ranks', then the own ones.
  void compute(const std::function<void(RowBlock, TensorView)>& work);
  void compute_in_blocks(const std::function<void(RowBlock, TensorView)>& work);
  Tensor sum();  // [m / P_t, n]

 private:
  void compute(bool cut, const std::function<void(RowBlock, TensorView)>& work);

  const ModelContext& context_;
  Tensor partials_;                    // [S / P_t, m, n]
  std::optional<RowScatter> scatter_;  // if there are several shards
};

// Consecutive rows of local shard `shard`: the chunk of rows that a replicated parameter's gradient is summed over.
TensorView shard_rows(const ModelContext& context, TensorView local_rows, int shard);

// A parameter of the global shape, cut along shard_dim (-1: replicated) into the context's shards.
// padded_extent: of the whole cut dimension where it is larger than the global one; 0: the global one.
Parameter make_parameter(const ModelContext& context, const std::string& name, const Shape& global, int shard_dim,
                         std::int64_t padded_extent = 0);

}  // namespace coxswain
