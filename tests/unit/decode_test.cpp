// Cached decoding gives the logits of the training path, for every model family, whatever the chunks that a text goes
// through the model in.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/kv_cache.h"
#include "model/model.h"
#include "tests/family.h"
#include "train/master_weights.h"

namespace coxswain {
namespace {

constexpr int kSlots = 3, kLength = 90;

ModelConfig model_of(const std::string& family, Precision precision) {
  ModelConfig model;
  model.layers = 3;
  model.hidden = 64;
  model.heads = 4;
  model.vocabulary = 203;
  model.context = 96;
  model.vocabulary_multiple = 8;
  model.initial_deviation = 0.1;
  model.precision = precision;
  model.dropout = 0.1;
  make_family(model, family, 9);
  return model;
}

std::int32_t token_at(int slot, int position) { return (slot * 71 + position * position * 13 + position) % 203; }

// [slot, position, vocabulary]
using Logits = std::vector<float>;

void take(Backend& backend, TensorView logits, std::int64_t row, int vocabulary, float* to) {  // logits [S, m, v / S]
  const std::int64_t columns = logits.shape[2];
  for (std::int64_t s = 0; s * columns < vocabulary; ++s) {
    std::vector<float> part(static_cast<std::size_t>(columns));
    const Tensor copy(backend, DType::f32, {columns});
    backend.copy(logits[s][row], copy);
    backend.download(copy, part.data());
    std::copy_n(part.begin(), std::min<std::int64_t>(columns, vocabulary - s * columns), to + s * columns);
  }
}

Logits training_path(Model& model) {
  const ModelContext& context = model.context();
  MicroBatch host;
  host.sequences = kSlots;
  host.length = kLength;
  for (int slot = 0; slot < kSlots; ++slot)
    for (int position = 0; position < kLength; ++position) {
      host.tokens.push_back(token_at(slot, position));
      host.positions.push_back(position);
    }
  host.targets.assign(host.tokens.size(), 0);
  host.weights.assign(host.tokens.size(), 0.0f);
  Stage::Saved saved;
  saved.batch = Batch(context.backend, host, {.training = false}, 0.0);
  model.stage(0).evaluate({}, saved);
  Logits all(static_cast<std::size_t>(kSlots * kLength * context.config.vocabulary));
  for (std::int64_t row = 0; row < kSlots * kLength; ++row)
    take(context.backend, saved.head.logits, row, context.config.vocabulary,
         all.data() + row * context.config.vocabulary);
  return all;
}

Logits cached_path(Model& model, int chunk) {
  const ModelContext& context = model.context();
  Backend& backend = context.backend;
  const KvCache cache(context, context.config.layers, kSlots, kLength);
  Logits all(static_cast<std::size_t>(kSlots * kLength * context.config.vocabulary));
  for (int first = 0; first < kLength; first += chunk) {
    std::vector<std::int32_t> tokens, positions, slots, sampled;
    for (int slot = 0; slot < kSlots; ++slot)
      for (int position = first; position < std::min(kLength, first + chunk); ++position) {
        sampled.push_back(static_cast<std::int32_t>(tokens.size()));
        tokens.push_back(token_at(slot, position));
        positions.push_back(position);
        slots.push_back(slot);
      }
    const std::int64_t m = std::ssize(tokens);
    const Tensor integers(backend, DType::i32, {4, m});
    for (const auto& [row, values] : {std::pair(0, &tokens), {1, &positions}, {2, &slots}, {3, &sampled}})
      backend.upload(values->data(), integers[row]);
    DecodeBatch batch{m, m, m, integers[0], integers[1], integers[2], integers[3], {}, {}};
    const DecodeRows logits = model.stage(0).decode({}, batch, cache);
    for (std::int64_t i = 0; i < m; ++i) {
      const auto at = static_cast<std::size_t>(i);
      take(backend, logits, i, context.config.vocabulary,
           all.data() + std::int64_t{slots[at] * kLength + positions[at]} * context.config.vocabulary);
    }
  }
  return all;
}

class Decode : public testing::TestWithParam<std::string> {};

TEST_P(Decode, GivesTheTrainingPathsLogits) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const ModelConfig config = model_of(GetParam(), precision);
    GridConfig shape;
    shape.tensor_shards = 2;
    shape.check(1);
    const ProcessGrid grid = ProcessGrid::planned(shape, 0);
    const auto backend = make_cpu_backend();
    const ModelContext context{*backend, grid, config};
    Model model(context, ModelUse::inference);
    MasterWeights(model).initialise(5);
    const Logits expected = training_path(model), whole = cached_path(model, kLength);
    double largest = 0, difference = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
      difference = std::max(difference, std::abs(static_cast<double>(expected[i]) - static_cast<double>(whole[i])));
    }
    fmt::print("{} {}: logits up to {:.3g}, largest difference {:.3g}\n", GetParam(),
               precision == Precision::fp32 ? "FP32" : "BF16", largest, difference);
    EXPECT_GT(largest, 0.5);
    EXPECT_LT(difference, precision == Precision::fp32 ? 1e-5 : 0.03 * largest);
    for (const int chunk : {1, 16}) EXPECT_EQ(cached_path(model, chunk), whole) << "chunks of " << chunk;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Decode, testing::Values("gpt1", "gpt2", "gpt3", "llama"));

}  // namespace
}  // namespace coxswain
