#include "train/gradients.h"

#include <algorithm>
#include <cmath>

#include "parallel/ordered_reduce.h"

namespace coxswain {

namespace {

constexpr const char* kTied = "tied gradient";

}  // namespace

Gradients::Gradients(Model& model) : model_(model) {
  const ProcessGrid& grid = model.context().grid;
  for (std::size_t i = 0; i < model.buffers().size(); ++i)
    sums_.emplace_back(model.context().backend, grid.first_data_shard(), grid.local_data_shards(),
                       grid.config().data_shards);
  for (const auto& buffer : model.buffers())
    if (buffer.get() != model.tied_output()) counted_.push_back(buffer.get());
  shards_left_.assign(static_cast<std::size_t>(model.stages()), 0);
}

void Gradients::begin_step() {
  for (const auto& buffer : model_.buffers()) buffer->zero_gradients();
  for (TreeSum& sum : sums_) sum.restart();
  shards_left_.assign(shards_left_.size(), model_.context().grid.local_data_shards());
}

void Gradients::finish_shard(int chunk) {
  const bool last = --shards_left_[static_cast<std::size_t>(chunk)] == 0;
  const std::vector<ParameterBuffer*> mine = model_.buffers_of(chunk);
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    ParameterBuffer& buffer = *model_.buffers()[i];
    if (std::find(mine.begin(), mine.end(), &buffer) == mine.end()) continue;
    buffer.sum_replicated();
    sums_[i].push(buffer.gradients());
    if (!last) model_.context().backend.fill(buffer.gradients(), 0.0);
  }
}

double Gradients::finish_step() {
  sum_over_data();
  sum_tied_uses();
  return global_norm();
}

TensorView Gradients::own_slice(const ParameterBuffer& buffer) const {
  return buffer.gradients().slice(0, buffer.own_start(), buffer.own_elements());
}

void Gradients::sum_over_data() {
  const ModelContext& context = model_.context();
  for (std::size_t i = 0; i < sums_.size(); ++i) {
    const ParameterBuffer& buffer = *model_.buffers()[i];
    ordered_reduce_scatter_rows(context.backend, context.grid.data(), sums_[i].sums(),
                                context.grid.config().data_shards, buffer.starts(), own_slice(buffer),
                                "gradients over data ranks");
  }
}

void Gradients::sum_tied_uses() {
  const ModelContext& context = model_.context();
  ParameterBuffer* input = model_.tied_input();
  ParameterBuffer* output = model_.tied_output();
  if (input != nullptr && output != nullptr) {
    context.backend.add(own_slice(*input), own_slice(*output), own_slice(*input));
    return;
  }
  if (!context.config.tied_embeddings) return;
  Communicator& pipeline = context.grid.pipeline();
  if (input == nullptr && output == nullptr) return pipeline.exchange({}, {}, kTied).wait();
  const int other = input != nullptr ? pipeline.size() - 1 : 0;
  const TensorView own = own_slice(input != nullptr ? *input : *output);
  const Tensor received(context.backend, DType::f32, own.shape);
  pipeline.exchange({{received, other}}, {{own, other}}, kTied).wait();
  context.backend.add(own, received, own);  // a sum of two has no order
}

// Sums of squares of all blocks, one buffer's after the other's, those that this rank does not own 0. They are added up
// on the device and come down together: the one time that a step waits for it, but for its losses.
std::vector<double> Gradients::own_squares() const {
  const ModelContext& context = model_.context();
  std::int64_t count = 0;
  for (const ParameterBuffer* buffer : counted_) count += buffer->blocks();
  std::vector<double> squares(static_cast<std::size_t>(count), 0.0);
  const Tensor sums(context.backend, DType::f64, {count});
  context.backend.fill(sums, 0.0);
  std::int64_t first = 0;
  for (const ParameterBuffer* buffer : counted_) {
    const TensorView gradient = own_slice(*buffer);
    for (const OwnedPart& part : buffer->own_parts()) {
      const ParameterUnit& unit = *part.unit;
      const std::int64_t blocks = (part.rows + unit.block_rows - 1) / unit.block_rows;
      context.backend.sum_of_squares(
          gradient.slice(0, part.offset, part.elements()), unit.block_rows * unit.columns,
          sums.view().slice(0, first + unit.first_block + part.first_row / unit.block_rows, blocks));
    }
    first += buffer->blocks();
  }
  context.backend.download(sums, squares.data());
  return squares;
}

double Gradients::global_norm() {
  const ProcessGrid& grid = model_.context().grid;
  std::vector<double> block_squares = own_squares();
  grid.data().all_merge(block_squares, "squares of gradient blocks");
  std::vector<double> unit_squares(static_cast<std::size_t>(model_.unit_count()), 0.0);
  const double* squares = block_squares.data();
  for (const ParameterBuffer* buffer : counted_) {
    for (const ParameterUnit& unit : buffer->units()) {
      if (grid.data_rank() != 0 || (!unit.parameter->is_sharded() && grid.tensor_rank() != 0)) continue;
      double& sum = unit_squares[static_cast<std::size_t>(model_.unit_index(unit))];
      for (std::int64_t block = 0; block < unit.blocks(); ++block) sum += squares[unit.first_block + block];
    }
    squares += buffer->blocks();
  }
  grid.world().all_merge(unit_squares, "squares of gradients");
  double sum = 0;
  for (const double square : unit_squares) sum += square;
  return std::sqrt(sum);
}

}  // namespace coxswain
