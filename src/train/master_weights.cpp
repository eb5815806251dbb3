#include "train/master_weights.h"

#include "model/scalar_head.h"
#include "train/weight_part.h"

namespace coxswain {

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
    for (const OwnedPart& part : slice.buffer->own_parts())
      draw_part(model_.context().backend, part, slice.values.slice(0, part.offset, part.elements()), seed);
  }
  round();
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
    gather_values(model_, *slice.buffer);
  }
  model_.await_values();
}

void gather_values(const Model& model, ParameterBuffer& buffer) {
  std::vector<std::int64_t> counts;
  for (std::size_t rank = 0; rank + 1 < buffer.starts().size(); ++rank)
    counts.push_back(buffer.starts()[rank + 1] - buffer.starts()[rank]);
  buffer.expect_values(model.context().grid.data().begin_all_gather_rows(buffer.values(), counts, "updated weights"));
}

void visit_parts(const Model& model, const ParameterBuffer& buffer, const std::string& prefix, TensorView memory,
                 Archive& archive, const WantsParameter& wants) {
  // Of the two copies of a tied embedding the first stage writes its own.
  if (!archive.reading() && &buffer == model.tied_output()) return;
  for (const OwnedPart& part : buffer.own_parts()) {
    const Parameter& parameter = *part.unit->parameter;
    if (wants && !wants(parameter)) continue;
    if (!archive.reading() && !parameter.is_sharded() && model.context().grid.tensor_rank() != 0) continue;
    const Piece piece = piece_of(part, prefix, memory.slice(0, part.offset, part.elements()));
    if (!piece.name.empty()) archive.tensor(piece);
  }
}

}  // namespace coxswain
