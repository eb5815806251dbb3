#include "train/master_weights.h"

#include <algorithm>
#include <string_view>

#include "model/scalar_head.h"

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

TensorView MasterWeights::Slice::working(std::int64_t offset, std::int64_t count) const {
  return memory ? buffer->values().slice(0, buffer->own_start() + offset, count) : TensorView();
}

MasterWeights::MasterWeights(Model& model) : model_(model) {
  const MemoryScope scope(model.context().backend, MemoryKind::optimizer);
  for (const auto& buffer : model.buffers()) {
    if (!buffer->owns_values()) continue;
    Slice slice{buffer.get(), Tensor(), TensorView()};
    if (model.context().working_type() == DType::f32) {
      slice.values = buffer->values().slice(0, buffer->own_start(), buffer->own_elements());
    } else {
      slice.memory = Tensor(model.context().backend, DType::f32, {buffer->own_elements()});
      model.context().backend.fill(slice.memory, 0.0);  // padding
      slice.values = slice.memory;
    }
    slices_.push_back(std::move(slice));
  }
}

void MasterWeights::initialise(std::uint64_t seed) {
  model_.await_values();
  for (const Slice& slice : slices_) {
    model_.context().backend.fill(slice.values, 0.0);
    for (const OwnedPart& part : slice.buffer->own_parts()) fill(slice, part, seed);
  }
  round();
}

void MasterWeights::fill(const Slice& slice, const OwnedPart& part, std::uint64_t seed) {
  const Parameter& parameter = *part.unit->parameter;
  const Box box = box_of(part);
  if (box.rows == 0 || parameter.initial == Initial::zero) return;
  const TensorView memory = rows_of(slice.values, part, box.rows);
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

void MasterWeights::visit(Archive& archive) {
  if (archive.reading()) model_.await_values();
  for (const Slice& slice : slices_) visit_parts(model_, *slice.buffer, "model", slice.values, archive);
  if (archive.reading()) round();
}

void MasterWeights::load(Archive& archive, ScalarHead head) {
  const auto wants = [&](const Parameter& parameter) {
    return head == ScalarHead::required || !parameter.name.starts_with(kScorePrefix) ||
           archive.has("model/" + parameter.name);
  };
  model_.await_values();
  for (const Slice& slice : slices_) visit_parts(model_, *slice.buffer, "model", slice.values, archive, wants);
  round();
}

void MasterWeights::edit(const std::string& parameter, const std::function<void(std::span<float>)>& change) {
  Backend& backend = model_.context().backend;
  model_.await_values();
  for (const Slice& slice : slices_)
    for (const OwnedPart& part : slice.buffer->own_parts()) {
      if (part.unit->parameter->name != parameter) continue;
      const TensorView memory = slice.values.slice(0, part.offset, part.elements());
      std::vector<float> values(static_cast<std::size_t>(part.elements()));
      backend.download(memory, values.data());
      change(values);
      backend.upload(values.data(), memory);
    }
  round();
}

void MasterWeights::round() {
  for (const Slice& slice : slices_) {
    if (slice.memory) model_.context().backend.copy(slice.values, slice.working(0, slice.buffer->own_elements()));
    gather(slice);
  }
  model_.await_values();
}

void MasterWeights::gather(const Slice& slice) {
  ParameterBuffer& buffer = *slice.buffer;
  std::vector<std::int64_t> counts;
  for (std::size_t rank = 0; rank + 1 < buffer.starts().size(); ++rank)
    counts.push_back(buffer.starts()[rank + 1] - buffer.starts()[rank]);
  buffer.expect_values(model_.context().grid.data().begin_all_gather_rows(buffer.values(), counts, "updated weights"));
}

void visit_parts(const Model& model, const ParameterBuffer& buffer, const std::string& prefix, TensorView memory,
                 Archive& archive, const WantsParameter& wants) {
  // Of the two copies of a tied embedding the first stage writes its own.
  if (!archive.reading() && &buffer == model.tied_output()) return;
  for (const OwnedPart& part : buffer.own_parts()) {
    const Parameter& parameter = *part.unit->parameter;
    if (wants && !wants(parameter)) continue;
    if (!archive.reading() && !parameter.is_sharded() && model.context().grid.tensor_rank() != 0) continue;
    const Box box = box_of(part);
    if (box.rows == 0) continue;
    Piece piece;
    piece.name = prefix + "/" + parameter.name;
    piece.global = parameter.global_shape;
    piece.offset = {box.first_row};
    piece.count = {box.rows};
    piece.memory = rows_of(memory, part, box.rows);
    if (parameter.global_shape.rank() == 2) {
      piece.offset.append(box.first_column);
      piece.count.append(part.unit->columns);
    } else {
      piece.memory = piece.memory.flat();
    }
    archive.tensor(piece);
  }
}

}  // namespace coxswain
