// A run's state as checkpoint tests need it: tensors of all types cut over any number of ranks, and values. Each
// element is known from its global index and a seed.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tensor/archive.h"

namespace coxswain {

class CheckpointState {
 public:
  // Rank `rank` of `ranks` owns its share of each tensor, cut along a dimension that depends on `style`.
  CheckpointState(int ranks, int rank, int style, int pieces = 1) {
    add("model/embedding/token", DType::f32, Shape{13, 10}, style, ranks, rank, pieces);
    add("model/layer_00/attention/qkv/weight", DType::bf16, Shape{6, 8}, style + 1, ranks, rank, pieces);
    add("optimizer/moment1/model/embedding/token", DType::f32, Shape{13, 10}, style + 1, ranks, rank, 1);
    add("optimizer/sum", DType::f64, Shape{3, 5, 4}, style, ranks, rank, 1);
    add("data/cursor", DType::i32, Shape{}, 0, ranks, rank, 1);
    add("model/final_norm/weight", DType::f32, Shape{3}, 0, ranks, rank, 1);
  }

  void fill(std::uint64_t seed) {
    for (Box& box : boxes_)
      for_each(box, [&](std::size_t i, std::uint64_t index) { put(box, i, element(box, seed, index)); });
    step = static_cast<std::int64_t>(seed);
    rate = 0.1 * static_cast<double>(seed);
    phrase = "seed " + std::to_string(seed);
    history.assign(static_cast<std::size_t>(seed % 4), rate);
  }
  void clear() {
    for (Box& box : boxes_) std::fill(box.memory.begin(), box.memory.end(), std::byte{0xee});
    step = -1, rate = -1, phrase = "?", history = {-1};
  }
  // The same by the backend, as a step changes a run's state.
  void clear(Backend& backend) {
    for (Box& box : boxes_) {
      const std::vector<std::byte> junk(box.memory.size(), std::byte{0xee});
      if (!junk.empty()) backend.upload(junk.data(), TensorView(box.memory.data(), box.dtype, box.count));
    }
    clear();
  }
  // The first thing that differs from fill(seed); empty if nothing does.
  std::string difference(std::uint64_t seed) const {
    for (const Box& box : boxes_) {
      std::string found;
      for_each(box, [&](std::size_t i, std::uint64_t index) {
        const std::uint64_t expected = element(box, seed, index);
        if (std::memcmp(box.memory.data() + i * size_of(box.dtype), &expected, size_of(box.dtype)) != 0 &&
            found.empty())
          found = box.name + " at " + std::to_string(index);
      });
      if (!found.empty()) return found;
    }
    CheckpointState other(1, 0, 0);
    other.fill(seed);
    const bool same = step == other.step && rate == other.rate && phrase == other.phrase && history == other.history;
    return same ? "" : "values";
  }

  void visit(Archive& archive) {
    for (Box& box : boxes_)
      archive.tensor(
          {box.name, box.global, box.offset, box.count, TensorView(box.memory.data(), box.dtype, box.count)});
    archive.value("train/step", step);
    archive.value("train/rate", rate);
    archive.value("data/phrase", phrase);
    archive.value("train/history", history);
  }
  auto visitor() {
    return [this](Archive& archive) { visit(archive); };
  }

  std::int64_t step = 0;
  double rate = 0;
  std::string phrase;
  std::vector<double> history;

 private:
  struct Box {
    std::string name;
    DType dtype;
    Shape global, offset, count;
    std::vector<std::byte> memory;
  };

  void add(const std::string& name, DType dtype, const Shape& global, int dim, int ranks, int rank, int pieces) {
    Shape zero = global;
    for (int d = 0; d < zero.rank(); ++d) zero[d] = 0;
    if (global.rank() == 0) {
      if (rank == ranks - 1) keep(name, dtype, global, zero, global);
      return;
    }
    dim %= global.rank();
    for (int piece = 0; piece < pieces; ++piece) {
      const std::int64_t parts = std::int64_t{ranks} * pieces, part = std::int64_t{rank} * pieces + piece;
      Shape offset = zero, count = global;
      offset[dim] = global[dim] * part / parts;
      count[dim] = global[dim] * (part + 1) / parts - offset[dim];
      keep(name, dtype, global, offset, count);
    }
  }
  void keep(const std::string& name, DType dtype, const Shape& global, const Shape& offset, const Shape& count) {
    boxes_.push_back({name, dtype, global, offset, count, {}});
    boxes_.back().memory.resize(static_cast<std::size_t>(count.elements()) * size_of(dtype));
  }
  template <class Body>
  static void for_each(const Box& box, const Body& body) {
    Shape at = box.offset;
    for (std::int64_t i = 0; i < box.count.elements(); ++i) {
      std::int64_t rest = i, index = 0;
      for (int d = box.count.rank() - 1; d >= 0; --d) {
        at[d] = box.offset[d] + rest % box.count[d];
        rest /= box.count[d];
      }
      for (int d = 0; d < box.count.rank(); ++d) index = index * box.global[d] + at[d];
      body(static_cast<std::size_t>(i), static_cast<std::uint64_t>(index));
    }
  }
  static std::uint64_t element(const Box& box, std::uint64_t seed, std::uint64_t index) {
    std::uint64_t h = (index + 1) * 0x9e3779b97f4a7c15u + seed * 0xd1b54a32d192ed03u + box.name.size();
    h = (h ^ (h >> 31)) * 0xbf58476d1ce4e5b9u;
    h ^= h >> 29;
    if (box.dtype == DType::f32) h &= 0xbfffffffu;  // finite, so that other programs can compare
    if (box.dtype == DType::bf16) h &= 0xbfffu;
    return h;
  }
  static void put(Box& box, std::size_t i, std::uint64_t value) {
    std::memcpy(box.memory.data() + i * size_of(box.dtype), &value, size_of(box.dtype));
  }

  std::vector<Box> boxes_;
};

}  // namespace coxswain
