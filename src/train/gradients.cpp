#include "train/gradients.h"

#include <algorithm>
#include <cmath>

#include "kernels/aside.h"
#include "parallel/ordered_reduce.h"

namespace coxswain {

namespace {

constexpr const char* kTied = "tied gradient";

}  // namespace

Gradients::Gradients(Model& model) : model_(model) {
  const ProcessGrid& grid = model.context().grid;
  const int leaves = grid.config().data_shards;
  for (const auto& buffer : model.buffers()) {
    sums_.emplace_back(model.context().backend, grid.first_data_shard(), grid.local_data_shards(), leaves);
    scratch_elements_ =
        std::max(scratch_elements_, ScatteredSum::scratch_elements(grid.data(), leaves, buffer->starts()));
  }
}

void Gradients::begin_step() {
  for (const auto& buffer : model_.buffers()) buffer->zero_gradients();
  for (TreeSum& sum : sums_) sum.restart();
}

void Gradients::finish_shard(int chunk, int part) {
  for (const std::size_t i : model_.buffers_of(chunk, part)) {
    ParameterBuffer& buffer = *model_.buffers()[i];
    buffer.sum_replicated();
    sums_[i].push(buffer.gradients());
    if (sums_[i].complete())
      leave(i);
    else
      model_.context().backend.fill(buffer.gradients(), 0.0);
  }
  advance(false);
}

void Gradients::leave(std::size_t i) {
  const ModelContext& context = model_.context();
  const ParameterBuffer& buffer = *model_.buffers()[i];
  if (!scratch_ && scratch_elements_ > 0) {
    const MemoryScope scope(context.backend, MemoryKind::communication);
    scratch_ = Tensor(context.backend, DType::f32, {scratch_elements_});
  }
  leaving_.emplace_back(context.backend, context.grid.data(), sums_[i].sums(), context.grid.config().data_shards,
                        ScatteredSum::Rows{buffer.starts(), own_slice(buffer)}, scratch_, "gradients over data ranks");
}

void Gradients::advance(bool wait) {
  if (leaving_.empty()) return;
  const Aside aside(model_.context().backend);
  while (!leaving_.empty() && leaving_.front().advance(wait)) leaving_.pop_front();
}

double Gradients::finish_step() {
  advance(true);
  model_.context().backend.join_aside();
  scratch_.reset();
  sum_tied_uses();
  return global_norm();
}

TensorView Gradients::own_slice(const ParameterBuffer& buffer) const {
  return buffer.gradients().slice(0, buffer.own_start(), buffer.own_elements());
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

// All but the tied output, which has the same sum as the input, with the place of each one's first block in one count.
Gradients::Counted Gradients::counted() const {
  Counted counted;
  for (const auto& buffer : model_.buffers()) {
    if (buffer.get() == model_.tied_output()) continue;
    counted.buffers.emplace_back(buffer.get(), counted.blocks);
    counted.blocks += buffer->blocks();
  }
  return counted;
}

std::vector<double> Gradients::block_squares(const Counted& counted) {
  const ModelContext& context = model_.context();
  const Tensor squares(context.backend, DType::f64, {counted.blocks});
  context.backend.fill(squares, 0.0);
  for (const auto& [buffer, first] : counted.buffers)
    for (const OwnedPart& part : buffer->own_parts()) {
      const ParameterUnit& unit = *part.unit;
      const std::int64_t blocks = (part.rows + unit.block_rows - 1) / unit.block_rows;
      const std::int64_t place = first + unit.first_block + part.first_row / unit.block_rows;
      context.backend.sum_of_squares(own_slice(*buffer).slice(0, part.offset, part.elements()),
                                     unit.block_rows * unit.columns, squares.view().slice(0, place, blocks));
    }
  std::vector<double> all(static_cast<std::size_t>(counted.blocks));
  context.backend.download(squares, all.data());
  context.grid.data().all_merge(all, "squares of gradient blocks");
  return all;
}

double Gradients::global_norm() {
  const ProcessGrid& grid = model_.context().grid;
  const Counted here = counted();
  const std::vector<double> squares = block_squares(here);
  std::vector<double> unit_squares(static_cast<std::size_t>(model_.unit_count()), 0.0);
  for (const auto& [buffer, first] : here.buffers)
    for (const ParameterUnit& unit : buffer->units()) {
      if (grid.data_rank() != 0 || (!unit.parameter->is_sharded() && grid.tensor_rank() != 0)) continue;
      double sum = 0;
      for (std::int64_t block = 0; block < unit.blocks(); ++block)
        sum += squares[static_cast<std::size_t>(first + unit.first_block + block)];
      unit_squares[static_cast<std::size_t>(model_.unit_index(unit))] = sum;
    }
  grid.world().all_merge(unit_squares, "squares of gradients");
  double sum = 0;
  for (const double square : unit_squares) sum += square;
  return std::sqrt(sum);
}

}  // namespace coxswain
