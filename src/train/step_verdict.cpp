#include "train/step_verdict.h"

#include <cstring>

namespace coxswain {

namespace {

constexpr const char* kLosses = "losses";

// Which of the gathered terms make up the loss and then each part's terms.
struct Places {
  std::vector<std::int32_t> places, ends;
};

Places places_of(const Work& work, int data_ranks) {
  Places result;
  const std::size_t items = work.items.size();
  // Every rank's items have the parts of this rank's: all data shards are alike.
  const auto add = [&](std::int64_t term, int part) {
    for (std::size_t i = 0; i < items * static_cast<std::size_t>(data_ranks); ++i)
      if (part < 0 || work.items[i % items].part == part)
        result.places.push_back(
            static_cast<std::int32_t>(static_cast<std::int64_t>(i) * StepVerdict::kMostTerms + term));
    result.ends.push_back(static_cast<std::int32_t>(result.places.size()));
  };
  add(0, -1);
  for (std::size_t part = 0; part < work.parts.size(); ++part)
    for (int term = 0; term < work.parts[part].objective->terms(); ++term) add(term, static_cast<int>(part));
  return result;
}

Tensor on_device(Backend& backend, const std::vector<std::int32_t>& numbers) {
  Tensor tensor(backend, DType::i32, {std::ssize(numbers)});
  backend.upload(numbers.data(), tensor);
  return tensor;
}

}  // namespace

void StepVerdict::begin_step(const Work& work) {
  const Shape shape{model_.context().grid.data().size(), std::ssize(work.items), kMostTerms};
  if (!terms_ || !(terms_.shape() == shape)) terms_ = Tensor(model_.context().backend, DType::f64, shape);
}

// One rank of those that know speaks for the others: all must come to one decision.
void StepVerdict::add_up_terms(const Work& work) {
  Backend& backend = model_.context().backend;
  const ProcessGrid& grid = model_.context().grid;
  const Places places = places_of(work, grid.data().size());
  const std::int64_t count = kLoss + std::ssize(places.ends);
  if (!numbers_ || numbers_.shape()[0] != count) numbers_ = Tensor(backend, DType::f64, {count});
  const TensorView sums = numbers_.view().slice(0, kLoss, count - kLoss);
  if (model_.stage(model_.stages() - 1).is_last()) {
    grid.data().all_gather(terms(), terms_, kLosses);
    backend.ordered_sums(terms_.view().flat(), on_device(backend, places.places), on_device(backend, places.ends),
                         sums);
    grid.tensor().broadcast(sums, 0, kLosses);
  }
  grid.pipeline().broadcast(sums, grid.pipeline().size() - 1, kLosses);
}

void StepVerdict::decide(const Work& work, TensorView squares, double limit) {
  Backend& backend = model_.context().backend;
  add_up_terms(work);
  const auto number = [&](std::int64_t which) { return numbers_.view().slice(0, which, 1); };
  backend.clip({squares, number(kLoss), limit, number(kNorm), scale()});
  const std::size_t bytes = numbers_.view().bytes();
  if (room_ < bytes) {
    on_host_ = HostMemory(backend, bytes);
    room_ = bytes;
  }
  backend.begin_download(numbers_, on_host_.data());
}

StepResult StepVerdict::read(const Work& work) {
  std::vector<double> numbers(static_cast<std::size_t>(numbers_.shape()[0]), 0.0);
  model_.context().backend.await_downloads();
  if (on_host_.data() != nullptr) std::memcpy(numbers.data(), on_host_.data(), numbers.size() * sizeof(double));
  StepResult result;
  result.gradient_norm = numbers[kNorm];
  result.updated = numbers[kScale] >= 0;
  result.loss = numbers[kLoss];
  auto next = numbers.begin() + kLoss + 1;
  for (const GlobalBatch& part : work.parts) {
    const auto end = next + part.objective->terms();
    std::vector<double>& terms = result.terms.emplace_back(next, end);
    for (double& term : terms) term /= part.weight;
    next = end;
  }
  return result;
}

}  // namespace coxswain
