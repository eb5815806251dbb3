#include "train/weight_part.h"

#include <algorithm>
#include <string_view>

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

}  // namespace

void draw_part(Backend& backend, const OwnedPart& part, TensorView masters, std::uint64_t seed) {
  const Parameter& parameter = *part.unit->parameter;
  const Box box = box_of(part);
  if (box.rows == 0 || parameter.initial == Initial::zero) return;
  const TensorView memory = masters.slice(0, 0, box.rows * part.unit->columns).reshape({box.rows, part.unit->columns});
  if (parameter.initial == Initial::one) {
    backend.fill(memory, 1.0);
    return;
  }
  Backend::NormalFill op;
  op.key = {seed, stream_of(parameter.name)};
  op.deviation = parameter.deviation;
  op.global_columns = parameter.global_shape.elements() / parameter.global_shape[0];
  op.first_row = box.first_row;
  op.first_column = box.first_column;
  op.dst = memory;
  backend.normal(op);
}

Piece piece_of(const OwnedPart& part, const std::string& prefix, TensorView memory) {
  const Parameter& parameter = *part.unit->parameter;
  const Box box = box_of(part);
  Piece piece;
  if (box.rows == 0) return piece;
  piece.name = prefix + "/" + parameter.name;
  piece.global = parameter.global_shape;
  piece.offset = {box.first_row};
  piece.count = {box.rows};
  piece.memory = memory.slice(0, 0, box.rows * part.unit->columns);
  if (parameter.global_shape.rank() == 2) {
    piece.offset.append(box.first_column);
    piece.count.append(part.unit->columns);
    piece.memory = piece.memory.reshape({box.rows, part.unit->columns});
  }
  return piece;
}

}  // namespace coxswain
