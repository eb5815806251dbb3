#include "train/gradients.h"

#include <algorithm>

#include "kernels/aside.h"
#include "parallel/ordered_reduce.h"

namespace coxswain {

namespace {

constexpr const char* kTied = "tied gradient";

}  // namespace

Gradients::Gradients(Model& model) : model_(model), squares_(model) {
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
                        ScatteredSum::Rows{buffer.starts(), buffer.own_gradients()}, scratch_,
                        "gradients over data ranks");
}

void Gradients::advance(bool wait) {
  if (leaving_.empty()) return;
  const Aside aside(model_.context().backend);
  while (!leaving_.empty() && leaving_.front().advance(wait)) leaving_.pop_front();
}

TensorView Gradients::finish_step() {
  advance(true);
  model_.context().backend.join_aside();
  scratch_.reset();
  sum_tied_uses();
  return squares_.sum();
}

void Gradients::sum_tied_uses() {
  const ModelContext& context = model_.context();
  ParameterBuffer* input = model_.tied_input();
  ParameterBuffer* output = model_.tied_output();
  if (input != nullptr && output != nullptr) {
    context.backend.add(input->own_gradients(), output->own_gradients(), input->own_gradients());
    return;
  }
  if (!context.config.tied_embeddings) return;
  Communicator& pipeline = context.grid.pipeline();
  if (input == nullptr && output == nullptr) return pipeline.exchange({}, {}, kTied).wait();
  const int other = input != nullptr ? pipeline.size() - 1 : 0;
  const TensorView own = (input != nullptr ? *input : *output).own_gradients();
  const Tensor received(context.backend, DType::f32, own.shape);
  pipeline.exchange({{received, other}}, {{own, other}}, kTied).wait();
  context.backend.add(own, received, own);  // a sum of two has no order
}

}  // namespace coxswain
