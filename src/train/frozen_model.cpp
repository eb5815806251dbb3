#include "train/frozen_model.h"

#include <algorithm>
#include <functional>

#include "train/master_weights.h"
#include "train/weight_part.h"

namespace coxswain {

namespace {

constexpr std::int64_t kMastersAtOnce = std::int64_t{1} << 22;  // elements, or a row

// Cut so that each has kMastersAtOnce elements at most.
std::vector<OwnedPart> small_parts(const ParameterBuffer& buffer) {
  std::vector<OwnedPart> parts;
  for (const OwnedPart& part : buffer.own_parts()) {
    const std::int64_t columns = part.unit->columns, most = std::max<std::int64_t>(1, kMastersAtOnce / columns);
    for (std::int64_t row = 0; row < part.rows; row += most)
      parts.push_back({part.unit, part.first_row + row, std::min(most, part.rows - row), part.offset + row * columns});
  }
  return parts;
}

// Sets the working values part by part: `set` gives a part's masters, which there is memory for one part at a time.
void set_values(Model& model, const std::function<void(const OwnedPart&, TensorView masters)>& set) {
  Backend& backend = model.context().backend;
  const bool rounded = model.context().working_type() != DType::f32;
  for (const auto& buffer : model.buffers()) {
    if (!buffer->owns_values()) continue;
    backend.fill(buffer->values(), 0.0);  // padding
    const std::vector<OwnedPart> parts = small_parts(*buffer);
    std::int64_t largest = 0;
    for (const OwnedPart& part : parts) largest = std::max(largest, part.elements());
    const Tensor staging = rounded ? Tensor(backend, DType::f32, {largest}) : Tensor();
    for (const OwnedPart& part : parts) {
      const TensorView working = buffer->values().slice(0, buffer->own_start() + part.offset, part.elements());
      const TensorView masters = rounded ? staging.view().slice(0, 0, part.elements()) : working;
      if (rounded) backend.fill(masters, 0.0);
      set(part, masters);
      if (rounded) backend.copy(masters, working);
    }
    gather_values(model, *buffer);
  }
  model.await_values();
}

}  // namespace

FrozenModel::FrozenModel(const ModelConfig& config, const ProcessGrid& grid, Backend& backend)
    : config_(config), context_{backend, grid, config_}, model_(context_, ModelUse::inference), evaluator_(model_) {}

void FrozenModel::load(Archive& archive) {
  set_values(model_, [&](const OwnedPart& part, TensorView masters) {
    const Piece piece = piece_of(part, "model", masters);
    if (!piece.name.empty()) archive.tensor(piece);
  });
}

void FrozenModel::initialise(std::uint64_t seed) {
  set_values(model_,
             [&](const OwnedPart& part, TensorView masters) { draw_part(context_.backend, part, masters, seed); });
}

}  // namespace coxswain
