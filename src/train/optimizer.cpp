#include "train/optimizer.h"

#include <algorithm>
#include <string_view>

#include "train/gradients.h"

namespace coxswain {

namespace {

// FNV-1a: a parameter's random stream hangs on its name alone.
std::uint64_t stream_of(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// Place of an owned part in the global tensor; rows behind its end (padding of a vocabulary) are cut off.
struct Box {
  std::int64_t first_row, first_column, rows;
};
Box box_of(const OwnedPart& part) {
  const Parameter& parameter = *part.unit->parameter;
  const std::int64_t shard = parameter.is_sharded() ? parameter.first_shard + part.unit->local_shard : 0;
  Box box{part.first_row, 0, part.rows};
  if (parameter.shard_dim == 0) box.first_row += shard * parameter.shard_extent;
  if (parameter.shard_dim == 1) box.first_column = shard * parameter.shard_extent;
  box.rows = std::clamp<std::int64_t>(parameter.global_shape[0] - box.first_row, 0, part.rows);
  return box;
}

TensorView rows_of(TensorView slice, const OwnedPart& part, std::int64_t rows) {
  return slice.slice(0, part.offset, rows * part.unit->columns).reshape({rows, part.unit->columns});
}

}  // namespace

Optimizer::Optimizer(Model& model, const OptimizerConfig& config) : model_(model), config_(config) {
  Backend& backend = model.context().backend;
  const MemoryScope scope(backend, MemoryKind::optimizer);
  for (const auto& buffer : model.buffers()) {
    if (!buffer->owns_values()) continue;
    Slice slice;
    slice.buffer = buffer.get();
    const Shape shape{buffer->own_elements()};
    if (model.context().working_type() == DType::f32) {
      slice.master = buffer->values().slice(0, buffer->own_start(), buffer->own_elements());
    } else {
      slice.master_memory = Tensor(backend, DType::f32, shape);
      slice.master = slice.master_memory;
    }
    slice.moment1 = Tensor(backend, DType::f32, shape);
    slice.moment2 = Tensor(backend, DType::f32, shape);
    slices_.push_back(std::move(slice));
  }
}

void Optimizer::initialise(std::uint64_t seed) {
  updates_ = 0;
  for (const Slice& slice : slices_) {
    model_.context().backend.fill(slice.moment1, 0.0);
    model_.context().backend.fill(slice.moment2, 0.0);
    model_.context().backend.fill(slice.master, 0.0);
    for (const OwnedPart& part : slice.buffer->own_parts()) fill(slice, part, seed);
    publish(slice, true);
  }
}

void Optimizer::fill(const Slice& slice, const OwnedPart& part, std::uint64_t seed) {
  const Parameter& parameter = *part.unit->parameter;
  const Box box = box_of(part);
  if (box.rows == 0 || parameter.initial == Initial::zero) return;
  const TensorView memory = rows_of(slice.master, part, box.rows);
  if (parameter.initial == Initial::one) {
    model_.context().backend.fill(memory, 1.0);
    return;
  }
  Backend::NormalFill op;
  op.key = {seed, stream_of(parameter.name)};
  op.deviation = parameter.deviation;
  op.global_columns = parameter.global_shape.elements() / parameter.global_shape[0];
  op.first_row = box.first_row;
  op.first_column = box.first_column;
  op.dst = memory;
  model_.context().backend.normal(op);
}

void Optimizer::step(const Gradients& gradients, double learning_rate, double gradient_scale) {
  ++updates_;
  for (const Slice& slice : slices_) {
    const TensorView gradient = gradients.own_slice(*slice.buffer);
    for (const OwnedPart& part : slice.buffer->own_parts()) {
      Backend::AdamW op;
      op.gradient = gradient.slice(0, part.offset, part.elements());
      op.master = slice.master.slice(0, part.offset, part.elements());
      op.moment1 = slice.moment1.view().slice(0, part.offset, part.elements());
      op.moment2 = slice.moment2.view().slice(0, part.offset, part.elements());
      if (slice.master_memory)
        op.working = slice.buffer->values().slice(0, slice.buffer->own_start() + part.offset, part.elements());
      op.step.learning_rate = static_cast<float>(learning_rate);
      op.step.beta1 = static_cast<float>(config_.beta1);
      op.step.beta2 = static_cast<float>(config_.beta2);
      op.step.epsilon = static_cast<float>(config_.epsilon);
      op.step.weight_decay = part.unit->parameter->decay ? static_cast<float>(config_.weight_decay) : 0.0f;
      op.step.gradient_scale = static_cast<float>(gradient_scale);
      op.step.step = updates_;
      model_.context().backend.adamw(op);
    }
    publish(slice, false);
  }
}

// Hands this rank's new values to the other data ranks.
void Optimizer::publish(const Slice& slice, bool convert) {
  ParameterBuffer& buffer = *slice.buffer;
  const TensorView own = buffer.values().slice(0, buffer.own_start(), buffer.own_elements());
  if (convert && slice.master_memory) model_.context().backend.copy(slice.master, own);
  std::vector<std::int64_t> counts;
  for (std::size_t rank = 0; rank + 1 < buffer.starts().size(); ++rank)
    counts.push_back(buffer.starts()[rank + 1] - buffer.starts()[rank]);
  model_.context().grid.data().all_gather_rows(own, buffer.values(), counts, "updated weights");
}

void Optimizer::visit_slices(Archive& archive, const char* prefix, TensorView (*memory)(const Slice&)) {
  const ProcessGrid& grid = model_.context().grid;
  for (const Slice& slice : slices_) {
    // Of the two copies of a tied embedding the first stage writes its own; both are read.
    if (!archive.reading() && slice.buffer == model_.tied_output()) continue;
    for (const OwnedPart& part : slice.buffer->own_parts()) {
      const Parameter& parameter = *part.unit->parameter;
      if (!archive.reading() && !parameter.is_sharded() && grid.tensor_rank() != 0) continue;
      const Box box = box_of(part);
      if (box.rows == 0) continue;
      Piece piece;
      piece.name = std::string(prefix) + parameter.name;
      piece.global = parameter.global_shape;
      piece.offset = {box.first_row};
      piece.count = {box.rows};
      piece.memory = rows_of(memory(slice), part, box.rows);
      if (parameter.global_shape.rank() == 2) {
        piece.offset.append(box.first_column);
        piece.count.append(part.unit->columns);
      } else {
        piece.memory = piece.memory.flat();
      }
      archive.tensor(piece);
    }
  }
}

void Optimizer::visit_weights(Archive& archive) {
  visit_slices(archive, "model/", [](const Slice& slice) { return slice.master; });
  if (!archive.reading()) return;
  for (const Slice& slice : slices_) publish(slice, true);
}

void Optimizer::visit(Archive& archive) {
  archive.value("optimizer/updates", updates_);
  visit_weights(archive);
  visit_slices(archive, "optimizer/moment1/", [](const Slice& slice) { return slice.moment1.view(); });
  visit_slices(archive, "optimizer/moment2/", [](const Slice& slice) { return slice.moment2.view(); });
}

}  // namespace coxswain
