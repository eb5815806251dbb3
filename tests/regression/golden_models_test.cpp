// Whole models against PyTorch's logits, loss and gradients (tests/golden/make_models.py), in FP32 on one rank, cut
// into one and two shards and into one and two virtual stages.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "io/hdf5_file.h"
#include "model/model.h"
#include "train/evaluator.h"
#include "train/trainer.h"

namespace coxswain {
namespace {

// Reads weights out of a golden file as if it were a checkpoint.
class GoldenArchive final : public Archive {
 public:
  explicit GoldenArchive(const hdf5::File& file) : file_(file) {}
  bool reading() const override { return true; }
  bool has(const std::string&) const override { return true; }
  void value(const std::string&, std::int64_t&) override {}
  void value(const std::string&, double&) override {}
  void value(const std::string&, std::string&) override {}
  void value(const std::string&, std::vector<double>&) override {}
  void tensor(const Piece& piece) override {
    const auto dataset = file_.open_dataset("weights/" + piece.name.substr(std::string("model/").size()));
    ASSERT_EQ(dataset.shape(), piece.global) << piece.name;
    dataset.read(piece.offset, piece.count, piece.memory.data);
  }

 private:
  const hdf5::File& file_;
};

struct Case {
  std::string model;
  int shards, virtual_stages;
  Recompute recompute;
};

ModelConfig config_of(const hdf5::File& file, const std::string& model) {
  const auto number = [&](const char* name) { return static_cast<int>(file.int_attribute("/", name)); };
  ModelConfig config;
  config.layers = number("layers");
  config.hidden = number("hidden");
  config.heads = number("heads");
  config.kv_heads = number("key_value_heads");
  config.feed_forward = number("feed_forward");
  config.vocabulary = number("vocabulary");
  config.context = number("positions");
  config.tied_embeddings = number("tied") != 0;
  if (model == "gpt1") config.norm_position = NormPosition::post;
  if (model == "llama") {
    config.norm = NormKind::rms;
    config.activation = Activation::silu;
    config.gated = true;
    config.positions = PositionKind::rotary;
    config.bias = false;
  }
  config.check();
  return config;
}

MicroBatch batch_of(const hdf5::File& file) {
  const auto tokens = file.open_dataset("tokens");
  MicroBatch batch;
  batch.sequences = static_cast<int>(tokens.shape()[0]);
  batch.length = static_cast<int>(tokens.shape()[1]);
  const auto count = static_cast<std::size_t>(tokens.shape().elements());
  batch.tokens.resize(count);
  batch.targets.resize(count);
  tokens.read(batch.tokens.data());
  file.open_dataset("targets").read(batch.targets.data());
  batch.weights.assign(count, 1.0f);
  for (std::size_t i = 0; i < count; ++i) batch.positions.push_back(static_cast<int>(i) % batch.length);
  return batch;
}

// Largest difference of a shard's gradient from the golden one, as a share of the golden tensor's largest element.
double gradient_difference(const hdf5::File& file, const ParameterUnit& unit, TensorView gradient) {
  const Parameter& parameter = *unit.parameter;
  const auto dataset = file.open_dataset("gradients/" + parameter.name);
  std::vector<float> golden(static_cast<std::size_t>(dataset.shape().elements()));
  dataset.read(golden.data());
  double largest = 0, worst = 0;
  for (const float g : golden) largest = std::max(largest, std::abs(static_cast<double>(g)));
  const std::int64_t columns = parameter.global_shape.elements() / parameter.global_shape[0];
  const std::int64_t row0 = parameter.shard_dim == 0 ? unit.local_shard * parameter.shard_extent : 0;
  const std::int64_t column0 = parameter.shard_dim == 1 ? unit.local_shard * parameter.shard_extent : 0;
  const float* mine = gradient.slice(0, unit.offset, unit.elements()).as<float>();
  for (std::int64_t i = 0; i < unit.elements(); ++i) {
    const std::int64_t row = row0 + i / unit.columns, column = column0 + i % unit.columns;
    const double expected =
        row < parameter.global_shape[0] ? golden[static_cast<std::size_t>(row * columns + column)] : 0.0;
    worst = std::max(worst, std::abs(mine[i] - expected) / largest);
  }
  return worst;
}

class GoldenModels : public testing::TestWithParam<Case> {};

TEST_P(GoldenModels, LossAndGradientsAreThoseOfPyTorch) {
  const Case& c = GetParam();
  const auto file = hdf5::File::open(COXSWAIN_SOURCE_DIR "/tests/golden/" + c.model + ".h5");
  const ModelConfig config = config_of(file, c.model);
  GridConfig grid_config;
  grid_config.tensor_shards = c.shards;
  grid_config.virtual_stages = c.virtual_stages;
  grid_config.check(1);
  const ProcessGrid grid = ProcessGrid::planned(grid_config, 0);
  const auto backend = make_cpu_backend();
  const ModelContext context{*backend, grid, config};
  Model model(context);

  const MicroBatch batch = batch_of(file);
  BatchConfig batch_config;
  batch_config.global = batch_config.micro = batch.sequences;
  batch_config.length = batch.length;
  batch_config.recompute = c.recompute;
  Trainer trainer(model, batch_config, OptimizerConfig());
  trainer.weights().initialise(1);
  GoldenArchive archive(file);
  trainer.weights().visit(archive);
  GlobalBatch global;
  global.size = batch.sequences;
  global.micro = batch.sequences;
  global.load = [&](std::int64_t, int) { return batch; };
  const double evaluated = Evaluator(model).terms(global).front();
  const StepResult result = trainer.step(global, 0.0);

  double golden_loss = 0;
  file.open_dataset("loss").read(&golden_loss);
  EXPECT_NEAR(result.loss, golden_loss, 1e-5 * golden_loss);
  EXPECT_EQ(result.loss, evaluated);
  for (const auto& buffer : model.buffers()) {
    if (!buffer->owns_values()) continue;
    for (const ParameterUnit& unit : buffer->units())
      EXPECT_LT(gradient_difference(file, unit, buffer->own_gradients()), 1e-5) << unit.parameter->name;
  }
}

std::string name_of_case(const testing::TestParamInfo<Case>& info) {
  return info.param.model + "_shards" + std::to_string(info.param.shards) + "_chunks" +
         std::to_string(info.param.virtual_stages) + "_recompute" +
         std::to_string(static_cast<int>(info.param.recompute));
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModels,
                         testing::Values(Case{"gpt1", 1, 1, Recompute::none}, Case{"gpt1", 4, 2, Recompute::full},
                                         Case{"gpt2", 1, 1, Recompute::none}, Case{"gpt2", 2, 1, Recompute::selective},
                                         Case{"gpt2", 4, 2, Recompute::none}, Case{"llama", 1, 1, Recompute::none},
                                         Case{"llama", 2, 2, Recompute::selective}),
                         name_of_case);

}  // namespace
}  // namespace coxswain
