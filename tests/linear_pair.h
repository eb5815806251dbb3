// A column-parallel linear layer and a row-parallel one behind it, forward and backward, with all that they compute:
// for tests of what travels between tensor ranks beside their products.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "model/parallel_linear.h"
#include "model/parameter_buffer.h"

namespace coxswain {

class LinearPair {
 public:
  // Everything by name, in the order of rows or of shards: a rank has an equal part of each list.
  using Numbers = std::map<std::string, std::vector<float>>;

  LinearPair(Backend& backend, const ProcessGrid& grid, const ModelConfig& config)
      : context_{backend, grid, config},
        column_(context_, "column", kInputs, kInner, true, 1),
        row_(context_, "row", kInner, kOutputs, true, 1),
        buffer_(context_, "pair", parameters(), {}) {
    for (Parameter* parameter : parameters())
      for (int s = 0; s < (parameter->is_sharded() ? context_.local_shards() : 1); ++s) {
        const int shard = parameter->is_sharded() ? context_.grid.first_tensor_shard() + s : 0;
        put(parameter->value(s), shard * parameter->value(s).elements(), parameter->name == "column/weight" ? 1 : 2);
      }
    buffer_.zero_gradients();
  }

  // Twice, so that memory is used again.
  Numbers run() {
    Numbers numbers;
    for (int micro_batch = 0; micro_batch < 2; ++micro_batch) {
      const std::string suffix = "#" + std::to_string(micro_batch);
      const std::int64_t rows = context_.local_rows(kRows), first = rows * context_.grid.tensor_rank();
      const Tensor x = context_.tensor({rows, kInputs}), dy = context_.tensor({rows, kOutputs});
      put(x, first * kInputs, 3 + micro_batch);
      put(dy, first * kOutputs, 5 + micro_batch);
      const Shape inner{context_.local_shards(), kRows, column_.outputs_per_shard()};
      const Tensor before = context_.tensor(inner), after = context_.tensor(inner);
      {
        GatheredRows all(context_, x, column_.outputs_per_shard(), "x");
        column_.forward(all, before, Activation::gelu, after);
      }
      numbers["y" + suffix] = read(row_.forward(after));
      const Tensor dbefore = row_.backward(dy, after, Activation::gelu, before);
      GatheredRows all(context_, x, "x");
      ScatteredRows dx(context_, kRows, kInputs, "dx");
      dx.compute([&](RowBlock, TensorView partials) {
        column_.input_gradient(dbefore, partials, false);
        column_.input_gradient(dbefore, partials, true);
      });
      column_.weight_gradient(dbefore, all.all());
      numbers["dx" + suffix] = read(dx.sum());
      numbers["inner" + suffix] = read(after);
      numbers["dinner" + suffix] = read(dbefore);
    }
    for (const Parameter* parameter : parameters()) numbers["d" + parameter->name] = read(parameter->gradients);
    return numbers;
  }

 private:
  static constexpr int kInputs = 24, kInner = 32, kOutputs = 40, kRows = 32;

  std::vector<Parameter*> parameters() {
    std::vector<Parameter*> all;
    const auto collect = [&](Parameter& parameter) { all.push_back(&parameter); };
    column_.visit(collect);
    row_.visit(collect);
    return all;
  }
  // By global index, so that a rank's part is the same on every grid.
  void put(TensorView view, std::int64_t first, int stream) {
    std::vector<float> values;
    for (std::int64_t i = first; i < first + view.elements(); ++i)
      values.push_back(static_cast<float>(std::sin(0.7 * static_cast<double>(i * i % 9973) + stream)));
    const Tensor whole(context_.backend, DType::f32, view.shape);
    context_.backend.upload(values.data(), whole);
    context_.backend.copy(whole, view);
  }
  std::vector<float> read(TensorView view) {
    const Tensor whole(context_.backend, DType::f32, view.shape);
    context_.backend.copy(view, whole);
    std::vector<float> values(static_cast<std::size_t>(view.elements()));
    context_.backend.download(whole, values.data());
    return values;
  }

  ModelContext context_;
  ColumnParallelLinear column_;
  RowParallelLinear row_;
  ParameterBuffer buffer_;
};

// This rank's part of one rank's numbers.
inline LinearPair::Numbers part_of(const LinearPair::Numbers& whole, int rank, int size) {
  LinearPair::Numbers part;
  for (const auto& [name, values] : whole) {
    const auto count = static_cast<std::ptrdiff_t>(values.size()) / size;
    part[name].assign(values.begin() + rank * count, values.begin() + (rank + 1) * count);
  }
  return part;
}

}  // namespace coxswain
