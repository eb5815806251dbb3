#include "model/batch.h"

namespace coxswain {

namespace {

Tensor to_backend(Backend& backend, const std::vector<std::int32_t>& values, const Shape& shape) {
  Tensor tensor(backend, DType::i32, shape);
  backend.upload(values.data(), tensor);
  return tensor;
}

}  // namespace

Batch::Batch(Backend& backend, const MicroBatch& host, const BatchPlace& where, double weight_scale)
    : sequences(host.sequences), length(host.length), place(where) {
  tokens = to_backend(backend, host.tokens, {rows()});
  targets = to_backend(backend, host.targets, {rows()});
  positions = to_backend(backend, host.positions, {sequences, length});
  if (!host.document_start.empty()) document_start = to_backend(backend, host.document_start, {sequences, length});
  std::vector<float> scaled(host.weights.size());
  for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] = static_cast<float>(host.weights[i] * weight_scale);
  weights = Tensor(backend, DType::f32, {rows()});
  backend.upload(scaled.data(), weights);
  if (!host.columns.empty())
    columns = Tensor(backend, DType::f32, {static_cast<std::int64_t>(host.columns.size()), rows()});
  for (std::size_t i = 0; i < host.columns.size(); ++i)
    backend.upload(host.columns[i].data(), columns[static_cast<std::int64_t>(i)]);
  if (!host.score_rows.empty()) score_rows = to_backend(backend, host.score_rows, {sequences});
  if (!host.ranks.empty()) ranks = to_backend(backend, host.ranks, {sequences});
}

DropoutSpec Batch::dropout(double probability, DropoutSite site, int layer, std::int64_t first_row) const {
  DropoutSpec spec;
  spec.probability = place.training ? static_cast<float>(probability) : 0.0f;
  const auto stream = static_cast<std::uint64_t>(place.step) << 24 | static_cast<std::uint64_t>(layer) << 4 |
                      (static_cast<std::uint64_t>(site) + 1);
  spec.key = {place.seed, stream};
  spec.first_row = place.first_sequence * length + first_row;
  return spec;
}

}  // namespace coxswain
