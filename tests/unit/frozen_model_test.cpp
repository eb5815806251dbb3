// A model that is only looked at gets its weights without memory for masters, and they are those that a trained model's
// masters round to.
#include <gtest/gtest.h>

#include <cstring>

#include "train/frozen_model.h"
#include "train/master_weights.h"

namespace coxswain {
namespace {

// An embedding of more elements than are drawn at once, which is cut in rows that no piece's size divides.
ModelConfig model_of(Precision precision) {
  ModelConfig model;
  model.layers = 1;
  model.hidden = 64;
  model.heads = 4;
  model.vocabulary = 140001;
  model.context = 8;
  model.precision = precision;
  model.check();
  return model;
}

ProcessGrid two_shards() {
  GridConfig one;
  one.tensor_shards = 2;
  one.check(1);
  return ProcessGrid::planned(one, 0);
}

std::size_t bytes_of(Model& model) {
  std::size_t bytes = 0;
  for (const auto& buffer : model.buffers())
    if (buffer->owns_values()) bytes += buffer->values().bytes();
  return bytes;
}

class FrozenModels : public testing::TestWithParam<Precision> {};

TEST_P(FrozenModels, HaveTheWeightsThatMastersRoundTo) {
  const ModelConfig config = model_of(GetParam());
  const ProcessGrid grid = two_shards();
  const auto backend = make_cpu_backend();
  FrozenModel frozen(config, grid, *backend);
  frozen.initialise(3);
  const ModelContext context{*backend, grid, config};
  Model model(context, ModelUse::inference);
  MasterWeights(model).initialise(3);
  ASSERT_EQ(frozen.model().buffers().size(), model.buffers().size());
  for (std::size_t i = 0; i < model.buffers().size(); ++i) {
    const TensorView expected = model.buffers()[i]->values(), got = frozen.model().buffers()[i]->values();
    ASSERT_EQ(expected.bytes(), got.bytes());
    EXPECT_EQ(std::memcmp(expected.data, got.data, expected.bytes()), 0) << model.buffers()[i]->name();
  }
}

TEST_P(FrozenModels, TakeNoMemoryForMasters) {
  const auto backend = make_cpu_backend();
  const ProcessGrid grid = two_shards();
  FrozenModel frozen(model_of(GetParam()), grid, *backend);
  frozen.initialise(3);
  EXPECT_EQ(backend->memory().taken_by_kind[static_cast<std::size_t>(MemoryKind::optimizer)], 0u);
  const std::size_t pieces = GetParam() == Precision::bf16 ? std::size_t{16} << 20 : 0;
  EXPECT_LE(backend->memory().peak, bytes_of(frozen.model()) + pieces);
}

INSTANTIATE_TEST_SUITE_P(Precisions, FrozenModels, testing::Values(Precision::fp32, Precision::bf16));

}  // namespace
}  // namespace coxswain
