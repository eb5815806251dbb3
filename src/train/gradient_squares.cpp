#include "train/gradient_squares.h"

#include <algorithm>
#include <numeric>

namespace coxswain {

namespace {

using Counts = std::vector<std::int64_t>;

std::int64_t sum_before(const Counts& counts, int rank) {
  return std::accumulate(counts.begin(), counts.begin() + rank, std::int64_t{0});
}

std::int64_t sum_of(const Counts& counts) { return sum_before(counts, static_cast<int>(counts.size())); }

TensorView part_of(TensorView all, const Counts& counts, int rank) {
  return all.slice(0, sum_before(counts, rank), counts[static_cast<std::size_t>(rank)]);
}

Tensor table(Backend& backend, const Counts& numbers) {
  const std::vector<std::int32_t> narrow(numbers.begin(), numbers.end());
  Tensor tensor(backend, DType::i32, {std::ssize(narrow)});
  backend.upload(narrow.data(), tensor);
  return tensor;
}

}  // namespace

GradientSquares::GradientSquares(Model& model) : model_(model) {
  for (const auto& buffer : model.buffers())
    if (buffer.get() != model.tied_output()) buffers_.push_back(buffer.get());
  const MemoryScope scope(model.context().backend, MemoryKind::gradients);
  lay_out_blocks();
  lay_out_units();
  sum_ = Tensor(model.context().backend, DType::f64, {1});
}

// Every data rank finds the squares of its own blocks; gathered, they lie rank by rank, and a rank's buffer by buffer.
void GradientSquares::lay_out_blocks() {
  Backend& backend = model_.context().backend;
  const ProcessGrid& grid = model_.context().grid;
  blocks_of_rank_.assign(static_cast<std::size_t>(grid.data().size()), 0);
  std::vector<std::pair<int, std::int64_t>> places;  // of every block: its rank, and which of that rank's it is
  Counts ends;
  for (const ParameterBuffer* buffer : buffers_)
    for (const ParameterUnit& unit : buffer->units()) {
      for (std::int64_t row = 0; row < unit.rows; row += unit.block_rows) {
        const int rank = buffer->owner_of(unit.offset + row * unit.columns);
        places.emplace_back(rank, blocks_of_rank_[static_cast<std::size_t>(rank)]++);
      }
      ends.push_back(std::ssize(places));
    }
  Counts block_places;
  for (const auto& [rank, place] : places) block_places.push_back(sum_before(blocks_of_rank_, rank) + place);
  blocks_ = Tensor(backend, DType::f64, {std::ssize(places)});
  block_places_ = table(backend, block_places);
  unit_ends_ = table(backend, ends);
}

// Units lie pipeline rank by pipeline rank, and a pipeline rank's tensor rank by tensor rank. Of a replicated parameter
// the first tensor rank's counts.
void GradientSquares::lay_out_units() {
  Backend& backend = model_.context().backend;
  const ProcessGrid& grid = model_.context().grid;
  const std::int64_t here = unit_ends_.shape()[0];
  std::vector<double> counts(static_cast<std::size_t>(grid.pipeline().size()), 0.0);
  counts[static_cast<std::size_t>(grid.pipeline_rank())] = static_cast<double>(here * grid.tensor().size());
  grid.pipeline().all_merge(counts, "gradient pieces");
  for (const double count : counts) units_of_stage_.push_back(static_cast<std::int64_t>(count));
  std::int64_t next = sum_before(units_of_stage_, grid.pipeline_rank()) + here * grid.tensor_rank();
  std::vector<double> places(static_cast<std::size_t>(model_.unit_count()), 0.0);
  for (const ParameterBuffer* buffer : buffers_)
    for (const ParameterUnit& unit : buffer->units()) {
      const bool counts_here = grid.data_rank() == 0 && (unit.parameter->is_sharded() || grid.tensor_rank() == 0);
      if (counts_here) places[static_cast<std::size_t>(model_.unit_index(unit))] = static_cast<double>(next);
      ++next;
    }
  grid.world().all_merge(places, "places of gradient pieces");
  units_ = Tensor(backend, DType::f64, {sum_of(units_of_stage_)});
  unit_places_ = table(backend, {places.begin(), places.end()});
  all_ = table(backend, {std::ssize(places)});
}

TensorView GradientSquares::sum() {
  Backend& backend = model_.context().backend;
  const ProcessGrid& grid = model_.context().grid;
  const TensorView own = part_of(blocks_, blocks_of_rank_, grid.data_rank());
  std::int64_t next = 0;
  for (const ParameterBuffer* buffer : buffers_)
    for (const OwnedPart& part : buffer->own_parts()) {
      const ParameterUnit& unit = *part.unit;
      const std::int64_t blocks = (part.rows + unit.block_rows - 1) / unit.block_rows;
      backend.sum_of_squares(buffer->own_gradients().slice(0, part.offset, part.elements()),
                             unit.block_rows * unit.columns, own.slice(0, next, blocks));
      next += blocks;
    }
  grid.data().all_gather_rows(own, blocks_, blocks_of_rank_, "squares of gradient blocks");
  const std::int64_t here = unit_ends_.shape()[0];
  const TensorView stage = part_of(units_, units_of_stage_, grid.pipeline_rank());
  const TensorView mine = stage.slice(0, here * grid.tensor_rank(), here);
  backend.ordered_sums(blocks_, block_places_, unit_ends_, mine);
  grid.tensor().all_gather(mine, stage.reshape({grid.tensor().size(), here}), "squares of gradients");
  grid.pipeline().all_gather_rows(stage, units_, units_of_stage_, "squares of gradients");
  backend.ordered_sums(units_, unit_places_, all_, sum_);
  return sum_;
}

}  // namespace coxswain
