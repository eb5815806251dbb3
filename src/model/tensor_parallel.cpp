#include "model/tensor_parallel.h"

namespace coxswain {

namespace {

// The rows of the tensor rank so many steps further on, as blocks of a product: all, or one for each of its shards.
std::vector<RowBlock> blocks_of(const ModelContext& context, int step, std::int64_t rows) {
  const int size = context.grid.tensor().size();
  const std::int64_t owner = (context.grid.tensor_rank() + step) % size, count = rows / context.shards();
  std::vector<RowBlock> blocks;
  for (int s = 0; s < context.local_shards(); ++s) blocks.push_back({owner * (rows / size) + s * count, count});
  return blocks;
}

}  // namespace

GatheredRows::GatheredRows(const ModelContext& context, TensorView local_rows, const char* name)
    : GatheredRows(context, local_rows, 0, name) {}

GatheredRows::GatheredRows(const ModelContext& context, TensorView local_rows, std::int64_t columns, const char* name)
    : context_(context), all_(local_rows) {
  Communicator& group = context.grid.tensor();
  const int size = group.size(), rank = group.rank();
  const std::int64_t own = local_rows.shape[0];
  cut_ = context.cuts_rows(own * size, columns);
  if (size == 1) return;
  const MemoryScope scope(context.backend, MemoryKind::communication);
  memory_ = Tensor(context.backend, local_rows.dtype, {own * size, local_rows.shape[1]});
  all_ = memory_;
  const auto rows_of = [&](int r) { return all_.slice(0, r * own, own); };
  context.backend.copy(local_rows, rows_of(rank));
  if (!cut_) {
    arrivals_.push_back(
        group.begin_all_gather_rows(all_, std::vector<std::int64_t>(static_cast<std::size_t>(size), own), name));
    return;
  }
  for (int step = 1; step < size; ++step) {
    const int from = (rank + step) % size, to = (rank + size - step) % size;
    arrivals_.push_back(group.exchange({{rows_of(from), from}}, {{rows_of(rank), to}}, name));
  }
}

TensorView GatheredRows::all() {
  for (Request& arrival : arrivals_) arrival.wait();
  return all_;
}

void GatheredRows::for_each_block(const std::function<void(RowBlock)>& work) {
  if (!cut_) return work({0, all().shape[0]});
  for (int step = 0; step < context_.grid.tensor().size(); ++step) {
    if (step > 0) arrivals_[static_cast<std::size_t>(step - 1)].wait();
    for (const RowBlock& block : blocks_of(context_, step, all_.shape[0])) work(block);
  }
}

ScatteredRows::ScatteredRows(const ModelContext& context, std::int64_t rows, std::int64_t columns, const char* name)
    : context_(context), partials_(context.tensor({context.local_shards(), rows, columns})) {
  if (context.shards() > 1) scatter_.emplace(context.backend, context.grid.tensor(), partials_, context.shards(), name);
}

void ScatteredRows::compute(const std::function<void(RowBlock, TensorView)>& work) { compute(false, work); }

void ScatteredRows::compute_in_blocks(const std::function<void(RowBlock, TensorView)>& work) {
  compute(context_.cuts_rows(partials_.shape()[1], partials_.shape()[2]), work);
}

void ScatteredRows::compute(bool cut, const std::function<void(RowBlock, TensorView)>& work) {
  const std::int64_t rows = partials_.shape()[1];
  const int size = context_.grid.tensor().size();
  if (!cut) {
    work({0, rows}, partials_);
    if (scatter_) scatter_->send(0, size);
    return;
  }
  for (int step = 1; step <= size; ++step) {
    for (const RowBlock& block : blocks_of(context_, step % size, rows))
      work(block, partials_.view().slice(1, block.first, block.count));
    scatter_->send(step % size, step % size + 1);
  }
}

Tensor ScatteredRows::sum() {
  const Shape shape = partials_.shape();
  if (!scatter_) return std::move(partials_).reshaped({shape[1], shape[2]});
  Tensor sum(context_.backend, partials_.dtype(), {context_.local_rows(shape[1]), shape[2]});
  scatter_->finish(sum);
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
