#include "train/evaluator.h"

namespace coxswain {

template <class See>
void Evaluator::run(const Work& work, See&& see) {
  for (const PipelineTask& task : pipeline_.begin(work, Pipeline::Ways::forward)) {
    Stage::Saved saved;
    pipeline_.forward(task, std::nullopt, saved);
    if (model_.stage(task.chunk).is_last()) see(task.micro_batch, saved);
  }
  pipeline_.finish();
}

bool Evaluator::ends_here() const {
  return model_.stage(model_.stages() - 1).is_last() && model_.context().grid.tensor_rank() == 0;
}

std::vector<double> Evaluator::terms(const GlobalBatch& batch) {
  const ModelContext& context = model_.context();
  const Work work = load_work(context.grid, {&batch, 1}, false);
  const std::int64_t count = std::ssize(work.items), width = batch.objective->terms();
  const Tensor terms(context.backend, DType::f64, {count, width});
  run(work, [&](std::int64_t item, const Stage::Saved& saved) {
    const Tensor gradient(context.backend, DType::f32, {saved.batch.rows()});
    batch.objective->evaluate(context.backend, saved.head.output, saved.batch, terms[item], gradient);
  });
  std::vector<double> own(static_cast<std::size_t>(count * width), 0.0);
  if (ends_here()) context.backend.download(terms, own.data());
  const std::vector<double> all = merge_items(context.grid, own, ends_here(), "losses");
  std::vector<double> sums(static_cast<std::size_t>(width), 0.0);
  for (std::size_t i = 0; i < all.size(); ++i) sums[i % sums.size()] += all[i] / batch.weight;
  return sums;
}

std::vector<float> Evaluator::outputs(GlobalBatch batch) {
  const ModelContext& context = model_.context();
  const int wanted = batch.size, unit = context.grid.config().data_shards * batch.micro;
  batch.size = (wanted + unit - 1) / unit * unit;
  batch.divisor = 1;
  const Work work = load_work(context.grid, {&batch, 1}, false);
  const std::int64_t count = std::ssize(work.items), rows = std::ssize(work.items.front().tokens.tokens);
  const Tensor outputs(context.backend, DType::f32, {count, rows});
  run(work,
      [&](std::int64_t item, const Stage::Saved& saved) { context.backend.copy(saved.head.output, outputs[item]); });
  std::vector<float> values(static_cast<std::size_t>(count * rows), 0.0f);
  if (ends_here()) context.backend.download(outputs, values.data());
  const std::vector<double> own(values.begin(), values.end());
  const std::vector<double> all = merge_items(context.grid, own, ends_here(), "outputs");
  const auto length = static_cast<std::size_t>(rows / batch.micro);
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(wanted) * length)};
}

}  // namespace coxswain
