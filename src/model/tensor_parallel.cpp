#include "model/tensor_parallel.h"

#include "parallel/ordered_reduce.h"

namespace coxswain {

Gathered gather_rows(const ModelContext& context, TensorView local_rows, const char* name) {
  Communicator& group = context.grid.tensor();
  if (group.size() == 1) return {Tensor(), local_rows};
  const MemoryScope scope(context.backend, MemoryKind::communication);
  Gathered all;
  all.owned = Tensor(context.backend, local_rows.dtype, {local_rows.shape[0] * group.size(), local_rows.shape[1]});
  all.view = all.owned;
  const TensorView by_rank = all.view.reshape({group.size(), local_rows.shape[0], local_rows.shape[1]});
  group.all_gather(local_rows, by_rank, name);
  return all;
}

Tensor sum_and_scatter_rows(const ModelContext& context, Tensor partials, const char* name) {
  const Shape shape = partials.shape();
  if (context.shards() == 1) return std::move(partials).reshaped({shape[1], shape[2]});
  Tensor sum(context.backend, partials.dtype(), {context.local_rows(shape[1]), shape[2]});
  ordered_reduce_scatter(context.backend, context.grid.tensor(), partials, context.shards(), sum, name);
  return sum;
}

TensorView shard_rows(const ModelContext& context, TensorView local_rows, int shard) {
  const std::int64_t rows = local_rows.shape[0] / context.local_shards();
  return local_rows.slice(0, shard * rows, rows);
}

Parameter make_parameter(const ModelContext& context, const std::string& name, const Shape& global, int shard_dim,
                         std::int64_t padded_extent) {
  Parameter parameter;
  parameter.name = name;
  parameter.global_shape = global;
  parameter.shard_dim = shard_dim;
  parameter.shards = context.shards();
  parameter.first_shard = context.grid.first_tensor_shard();
  parameter.local_shards = context.local_shards();
  if (shard_dim >= 0)
    parameter.shard_extent = (padded_extent == 0 ? global[shard_dim] : padded_extent) / context.shards();
  return parameter;
}

}  // namespace coxswain
