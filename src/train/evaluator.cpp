#include "train/evaluator.h"

namespace coxswain {

template <class See>
void Evaluator::run(const Work& work, See&& see) {
  const int count = static_cast<int>(work.items.size());
  for (const PipelineTask& task : pipeline_.schedule(count)) {
    if (task.kind != PipelineTask::Kind::forward) continue;
    Stage::Saved saved;
    pipeline_.forward(work, task, std::nullopt, saved);
    if (model_.stage(task.chunk).is_last()) see(static_cast<std::size_t>(task.micro_batch), saved);
  }
  pipeline_.finish();
}

std::vector<double> Evaluator::terms(const GlobalBatch& batch) {
  const ModelContext& context = model_.context();
  const Work work = load_work(context.grid, {&batch, 1}, false);
  const auto width = static_cast<std::size_t>(batch.objective->terms());
  std::vector<double> own(work.items.size() * width, 0.0);
  run(work, [&](std::size_t item, const Stage::Saved& saved) {
    const Tensor terms(context.backend, DType::f64, {batch.objective->terms()});
    const Tensor gradient(context.backend, DType::f32, {saved.batch.rows()});
    batch.objective->evaluate(context.backend, saved.head.output, saved.batch, terms, gradient);
    context.backend.download(terms, own.data() + item * width);
  });
  const std::vector<double> all = merge_items(context.grid, own, context.grid.tensor_rank() == 0, "losses");
  std::vector<double> sums(width, 0.0);
  for (std::size_t i = 0; i < all.size(); ++i) sums[i % width] += all[i] / batch.weight;
  return sums;
}

std::vector<float> Evaluator::outputs(GlobalBatch batch) {
  const ModelContext& context = model_.context();
  const int wanted = batch.size, unit = context.grid.config().data_shards * batch.micro;
  batch.size = (wanted + unit - 1) / unit * unit;
  batch.divisor = 1;
  const Work work = load_work(context.grid, {&batch, 1}, false);
  const std::size_t rows = work.items.front().tokens.tokens.size();
  std::vector<double> own(work.items.size() * rows, 0.0);
  std::vector<float> values(rows);
  run(work, [&](std::size_t item, const Stage::Saved& saved) {
    context.backend.download(saved.head.output, values.data());
    std::copy(values.begin(), values.end(), own.begin() + static_cast<std::ptrdiff_t>(item * rows));
  });
  const std::vector<double> all = merge_items(context.grid, own, context.grid.tensor_rank() == 0, "outputs");
  const auto length = rows / static_cast<std::size_t>(batch.micro);
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(wanted) * length)};
}

}  // namespace coxswain
