// The memory of some parameters: one flat buffer of values, one of FP32 gradients, in the same order.
//
// First the pieces of cut parameters, then the replicated ones. A replicated parameter's gradient is a sum over shards
// of rows: every local shard adds to a partial of its own, and `sum_replicated` adds these up over grid.tensor() in the
// fixed tree.
//
// The buffer is cut into blocks of whole rows whose size depends on a piece's shape alone. Data ranks own consecutive
// blocks (ZeRO-1, Rajbhandari et al. 2020): every part that a rank owns is a box of a global tensor, and the sum of
// squares of a block has the same bits whoever owns it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "model/tensor_parallel.h"
#include "tensor/host_memory.h"

namespace coxswain {

// One shard of one parameter, or a replicated parameter: rows x columns, dense in the buffers.
struct ParameterUnit {
  const Parameter* parameter = nullptr;
  int local_shard = 0;
  std::int64_t offset = 0;  // in the flat buffers, elements
  std::int64_t rows = 0, columns = 1;
  std::int64_t block_rows = 0;  // of all blocks but the last
  std::int64_t elements() const { return rows * columns; }
};

// The part of a unit that one data rank owns: rows [first_row, first_row + rows).
struct OwnedPart {
  const ParameterUnit* unit = nullptr;
  std::int64_t first_row = 0, rows = 0;
  std::int64_t offset = 0;  // in the rank's own slice, elements
  std::int64_t elements() const { return rows * unit->columns; }
};

class ParameterBuffer {
 public:
  struct Options {
    bool gradients = true;                     // none for models that are only looked at
    ParameterBuffer* shared_values = nullptr;  // same parameters, same place: only gradients are allocated
  };
  // Points the parameters' `values` and `gradients` into memory of its own.
  ParameterBuffer(const ModelContext& context, std::string name, std::vector<Parameter*> parameters,
                  const Options& options);

  const std::string& name() const { return name_; }
  TensorView values() const { return values_view_; }  // working type [n]
  // Values of other data ranks are on their way here; nothing may look at the values before await_values.
  void expect_values(Request arrival) { arrival_ = std::move(arrival); }
  void await_values() { (shared_values_ != nullptr ? shared_values_->arrival_ : arrival_).wait(); }
  bool owns_values() const { return static_cast<bool>(values_); }
  TensorView gradients() const { return gradients_; }  // f32 [n], or empty
  std::int64_t elements() const { return elements_; }
  const std::vector<ParameterUnit>& units() const { return units_; }

  // See Model::park.
  void park(bool changed);
  void begin_unpark();
  void share_values(const ParameterBuffer& other);  // after the other one's have moved

  void zero_gradients();
  void sum_replicated();  // collective over grid.tensor(); leaves the partials at zero

  // Slices of the data ranks: rank r owns elements [starts[r], starts[r + 1]).
  const std::vector<std::int64_t>& starts() const { return starts_; }
  std::int64_t own_start() const { return starts_[static_cast<std::size_t>(data_rank_)]; }
  int owner_of(std::int64_t element) const;  // which data rank
  std::int64_t own_elements() const { return starts_[static_cast<std::size_t>(data_rank_) + 1] - own_start(); }
  const std::vector<OwnedPart>& own_parts() const { return own_parts_; }
  TensorView own_gradients() const { return gradients_.view().slice(0, own_start(), own_elements()); }  // f32

 private:
  void lay_out(const ModelContext& context);
  void allocate_gradients(const ModelContext& context);
  void attach(const ModelContext& context);
  void cut_into_slices(int data_ranks);
  void find_own_parts();

  const ModelContext& context_;
  std::string name_;
  std::vector<Parameter*> parameters_;
  std::vector<ParameterUnit> units_;
  std::vector<std::int64_t> starts_;
  std::vector<OwnedPart> own_parts_;
  std::int64_t elements_ = 0, replicated_start_ = 0;
  int data_rank_ = 0;
  Tensor values_, gradients_;
  HostMemory parked_;  // the values, from the first parking on
  TensorView values_view_;
  Tensor replicated_partials_;  // f32 [S / P_t, replicated elements]; none with a single shard
  ParameterBuffer* shared_values_;
  Request arrival_;  // goes before the values
};

}  // namespace coxswain
