// Generation whose steps an emulated GPU keeps as graphs gives the bits of one that is asked for every operation, on
// every grid: while slots finish and are refilled, and when weights, sampling or addresses change between two
// generations.
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/device.h"
#include "mpi_test.h"
#include "parallel/device_communicator.h"
#include "rl/generator.h"
#include "tests/emulation/graphs.h"
#include "tests/emulation/schedule.h"
#include "tests/family.h"
#include "train/master_weights.h"

namespace coxswain {
namespace {

ModelConfig small_model(const std::string& family) {
  ModelConfig model;
  model.layers = 2;
  model.hidden = 8;
  model.heads = 2;
  model.vocabulary = 30;
  model.context = 16;
  model.vocabulary_multiple = 8;
  model.initial_deviation = 0.4;
  model.precision = family == "llama" ? Precision::bf16 : Precision::fp32;
  make_family(model, family, 2);
  return model;
}

std::vector<GenerationRequest> some_requests(int first, int count) {
  std::vector<GenerationRequest> requests;
  for (int prompt = first; prompt < first + count; ++prompt) {
    GenerationRequest request{{}, prompt, 0};
    for (int i = 0; i <= prompt * 5 % 7; ++i) request.prompt.push_back((prompt * 11 + i * 17) % 30);
    requests.push_back(std::move(request));
  }
  return requests;
}

Sampling some_sampling() {
  Sampling sampling;
  sampling.seed = 3;
  sampling.min_new_tokens = 1;
  sampling.max_new_tokens = 8;
  sampling.stop_tokens = {7, 20};
  return sampling;
}

using Texts = std::vector<std::vector<GeneratedResponse>>;

// One generator's life, or a new one's for each generation.
Texts live(Model& model, Backend& backend, bool one) {
  const GeneratorConfig config{.slots = 3, .prompt_chunk = 4};
  Generator generator(model, config);
  Sampling sampling = some_sampling();
  Texts texts;
  const auto generate = [&](int first, int count) {
    const auto requests = some_requests(first, count);
    texts.push_back(one ? generator.respond(requests, sampling) : Generator(model, config).respond(requests, sampling));
  };
  generate(0, 6);
  generate(6, 4);
  MasterWeights(model).initialise(6);  // other weights at the same addresses
  generate(0, 4);
  sampling.temperature = 0.7;
  sampling.top_k = 5;
  generate(1, 3);
  model.park();
  const std::size_t bytes = model.buffers()[0]->values().bytes();
  void* taken = backend.allocate(bytes);  // their memory is another's now
  backend.fill(TensorView(taken, DType::i32, {static_cast<std::int64_t>(bytes / 4)}), 0x3f003f00);
  model.unpark();
  generate(3, 3);
  backend.release(taken, bytes);
  generator.release();
  generate(2, 4);
  return texts;
}

Texts texts_of(const ModelConfig& config, const GridConfig& shape, bool graphs, std::uint64_t seed) {
  setenv("COXSWAIN_EMULATED_DEVICES", std::to_string(world().size()).c_str(), 1);
  cuda_emulation::set_seed(10 * seed + static_cast<std::uint64_t>(world().rank()));
  const auto backend = make_cuda_backend(world().rank(), graphs);
  const auto group = make_device_communicator(world(), *backend, {});
  const ProcessGrid grid(*group, shape);
  const ModelContext context{*backend, grid, config};
  Model model(context, ModelUse::inference);
  MasterWeights(model).initialise(5);
  return live(model, *backend, graphs);
}

void expect_same(const Texts& actual, const Texts& expected, const std::string& where) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t n = 0; n < actual.size(); ++n) {
    ASSERT_EQ(actual[n].size(), expected[n].size());
    for (std::size_t i = 0; i < actual[n].size(); ++i) {
      EXPECT_EQ(actual[n][i].tokens, expected[n][i].tokens) << where << ", generation " << n << ", response " << i;
      EXPECT_EQ(actual[n][i].log_probability, expected[n][i].log_probability) << where << ", generation " << n;
    }
  }
}

class Generation : public testing::TestWithParam<std::string> {};

TEST_P(Generation, ByGraphsIsGenerationByOperations) {
  const bool short_form = std::getenv("COXSWAIN_FULL") == nullptr;
  if (short_form && (GetParam() == "gpt2") != (world().size() == 1)) GTEST_SKIP() << "COXSWAIN_FULL=1 runs it";
  const ModelConfig config = small_model(GetParam());
  GridConfig shape;
  shape.tensor_shards = 2;
  shape.data = 1;
  std::vector<GridConfig> grids;
  for (int tensor = 1; tensor <= 2; ++tensor)
    for (const auto& [pipeline, virtual_stages] : {std::pair(1, 1), std::pair(1, 2), std::pair(2, 1)}) {
      if (tensor * pipeline != world().size() || (tensor == 2 && virtual_stages == 2)) continue;
      shape.tensor = tensor, shape.pipeline = pipeline, shape.virtual_stages = virtual_stages;
      grids.push_back(shape);
    }
  Texts expected;
  std::uint64_t seed = 1;
  for (const GridConfig& grid : grids) {
    const std::size_t before = cuda_emulation::graph_launches();
    if (expected.empty()) expected = texts_of(config, grid, false, seed);
    EXPECT_EQ(cuda_emulation::graph_launches(), before);
    expect_same(texts_of(config, grid, true, ++seed), expected,
                std::to_string(grid.tensor) + "x" + std::to_string(grid.pipeline));
    EXPECT_GT(cuda_emulation::graph_launches(), before + 40);
  }
  std::size_t longest = 0, shortest = 100;
  for (const GeneratedResponse& response : expected[0]) {
    longest = std::max(longest, response.tokens.size());
    shortest = std::min(shortest, response.tokens.size());
  }
  EXPECT_LT(shortest, longest) << "slots are to end at different times";
}

INSTANTIATE_TEST_SUITE_P(Families, Generation, testing::Values("gpt2", "llama"));

}  // namespace
}  // namespace coxswain
