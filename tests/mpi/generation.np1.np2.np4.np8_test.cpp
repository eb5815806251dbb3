// Law 1 of generation: every grid that fits the ranks, in any order of the requests, gives the responses of one rank,
// bit for bit.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "kernels/compressed.h"
#include "mpi_test.h"
#include "rl/generator.h"
#include "tests/family.h"
#include "train/master_weights.h"

namespace coxswain {
namespace {

ModelConfig small_model(const std::string& family, Precision precision) {
  ModelConfig model;
  model.layers = 4;
  model.hidden = 16;
  model.heads = 4;
  model.vocabulary = 75;
  model.context = 24;
  model.vocabulary_multiple = 8;
  model.initial_deviation = 0.3;
  model.precision = precision;
  model.dropout = 0.1;
  make_family(model, family, 4);
  return model;
}

// Prompts of 1 to 11 tokens, two samples of each.
std::vector<GenerationRequest> some_requests(int vocabulary) {
  std::vector<GenerationRequest> requests;
  for (int prompt = 0; prompt < 9; ++prompt)
    for (int sample = 0; sample < 2; ++sample) {
      GenerationRequest request{{}, prompt, sample};
      for (int i = 0; i <= prompt * 5 % 11; ++i) request.prompt.push_back((prompt * 31 + i * 17) % vocabulary);
      requests.push_back(std::move(request));
    }
  return requests;
}

Sampling some_sampling() {
  Sampling sampling;
  sampling.seed = 3;
  sampling.step = 2;
  sampling.temperature = 1.1;
  sampling.min_new_tokens = 2;
  sampling.max_new_tokens = 9;
  sampling.stop_tokens = {7, 20, 33};
  sampling.stop_sequences = {{5, 6}};
  return sampling;
}

std::vector<GeneratedResponse> respond(const ModelConfig& config, const ProcessGrid& grid,
                                       const GeneratorConfig& generator_config,
                                       const std::vector<GenerationRequest>& requests, const Sampling& sampling) {
  const auto backend = make_cpu_backend();
  const ModelContext context{*backend, grid, config};
  Model model(context, ModelUse::inference);
  MasterWeights(model).initialise(5);
  return Generator(model, generator_config).respond(requests, sampling);
}

void expect_same(const std::vector<GeneratedResponse>& actual, const std::vector<GeneratedResponse>& expected,
                 const std::string& where) {
  ASSERT_EQ(actual.size(), expected.size()) << where;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(actual[i].tokens, expected[i].tokens) << where << " response " << i;
    EXPECT_EQ(actual[i].log_probability, expected[i].log_probability) << where << " response " << i;
    EXPECT_EQ(actual[i].finish_reason, expected[i].finish_reason) << where << " response " << i;
  }
}

GridConfig two_shards() {
  GridConfig shape;
  shape.tensor_shards = 2;
  shape.data = 1;
  shape.check(1);
  return shape;
}

class GenerationLawOne : public testing::TestWithParam<std::string> {};

TEST_P(GenerationLawOne, EveryGridGivesTheBitsOfOneRank) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    const ModelConfig config = small_model(GetParam(), precision);
    const auto requests = some_requests(config.vocabulary);
    GridConfig shape = two_shards();
    const auto serial = respond(config, ProcessGrid::planned(shape, 0), {}, requests, some_sampling());
    for (int tensor = 1; tensor <= 2; ++tensor)
      for (int pipeline = 1; pipeline <= 4; pipeline *= 2)
        for (const int virtual_stages : {1, 2}) {
          if (world().size() % (tensor * pipeline) != 0 || pipeline * virtual_stages > config.layers) continue;
          GridConfig parallel = shape;
          parallel.tensor = tensor;
          parallel.pipeline = pipeline;
          parallel.data = world().size() / (tensor * pipeline);
          parallel.data_shards = 0;
          parallel.virtual_stages = virtual_stages;
          const ProcessGrid grid(world(), parallel);
          expect_same(respond(config, grid, {.slots = 3, .prompt_chunk = 4}, requests, some_sampling()), serial,
                      grid.coordinates());
        }
  }
}

TEST_P(GenerationLawOne, SlotsChunksAndOrderChangeNothing) {
  const ModelConfig config = small_model(GetParam(), Precision::bf16);
  auto requests = some_requests(config.vocabulary);
  Sampling sampling = some_sampling();
  sampling.top_k = 40;
  sampling.top_p = 0.9;
  GridConfig shape;
  shape.data = world().size();
  shape.check(world().size());
  const ProcessGrid grid(world(), shape);
  auto expected = respond(config, grid, {}, requests, sampling);
  std::reverse(requests.begin(), requests.end());
  std::reverse(expected.begin(), expected.end());
  for (const auto& [slots, chunk] : {std::pair(1, 1), std::pair(4, 3), std::pair(64, 1000)})
    expect_same(respond(config, grid, {.slots = slots, .prompt_chunk = chunk}, requests, sampling), expected,
                std::to_string(slots) + " slots");
}

// Large enough that a processor compresses the output projection, and that of each of two shards.
TEST(GenerationLawOne, CompressedWeightsChangeNothing) {
  for (const Precision precision : {Precision::fp32, Precision::bf16}) {
    ModelConfig config = small_model("gpt2", precision);
    config.vocabulary = 70001;  // the last shard has padding, of zeros
    const auto requests = some_requests(config.vocabulary);
    GridConfig shape = two_shards();
    const auto serial = respond(config, ProcessGrid::planned(shape, 0), {}, requests, some_sampling());
    shape.tensor = world().size() > 1 ? 2 : 1;
    shape.pipeline = world().size() > 2 ? 2 : 1;
    shape.data = world().size() / (shape.tensor * shape.pipeline);
    shape.data_shards = 0;
    const ProcessGrid grid(world(), shape);
    const auto backend = make_cpu_backend();
    const ModelContext context{*backend, grid, config};
    Model model(context, ModelUse::inference);
    MasterWeights masters(model);
    Generator generator(model, {.slots = 2 * shape.pipeline, .compress_weights = true});
    masters.initialise(5);
    const auto compressed = [&] {
      return backend->memory().taken_by_kind[static_cast<std::size_t>(MemoryKind::compressed)];
    };
    expect_same(generator.respond(requests, some_sampling()), serial, grid.coordinates());
    const bool has_head = grid.pipeline_rank() == shape.pipeline - 1;
    EXPECT_EQ(compressed() > 0, has_head);
    generator.release();
    masters.initialise(6);  // other weights, which a step has made
    const auto others = generator.respond(requests, some_sampling());
    generator.release();
    Generator plain(model, {.slots = 5});
    expect_same(others, plain.respond(requests, some_sampling()), "other weights");
    EXPECT_NE(others.front().tokens, serial.front().tokens);
    const std::size_t before = compressed();
    const int many = static_cast<int>(compressed_rows() + 1) * shape.pipeline;
    Generator(model, {.slots = many, .compress_weights = true}).respond(requests, some_sampling());
    EXPECT_EQ(compressed(), before) << "many rows at once";
  }
}

TEST(GenerationRules, LengthsStopsAndPlacesAreKept) {
  const ModelConfig config = small_model("gpt2", Precision::fp32);
  const ProcessGrid grid(world(), [] {
    GridConfig shape;
    shape.pipeline = world().size() % 2 == 0 ? 2 : 1;
    return shape;
  }());
  auto requests = some_requests(config.vocabulary);
  requests.push_back({std::vector<std::int32_t>(21, 4), 100, 0});  // room for three tokens
  const Sampling sampling = some_sampling();
  const auto responses = respond(config, grid, {.slots = 5}, requests, sampling);
  int stopped = 0;
  for (std::size_t i = 0; i < responses.size(); ++i) {
    const auto& tokens = responses[i].tokens;
    const auto stops = std::count_if(tokens.begin(), tokens.end(), [&](std::int32_t token) {
      return std::count(sampling.stop_tokens.begin(), sampling.stop_tokens.end(), token) > 0;
    });
    EXPECT_GE(tokens.size(), 2u) << i;
    EXPECT_LE(tokens.size() + requests[i].prompt.size(), 24u) << i;
    EXPECT_LT(responses[i].log_probability, 0) << i;
    EXPECT_EQ(stops > 0, responses[i].finish_reason == FinishReason::stop && tokens.back() != 6) << i;
    stopped += responses[i].finish_reason == FinishReason::stop ? 1 : 0;
  }
  EXPECT_GT(stopped, 0);
  EXPECT_LE(responses.back().tokens.size(), 3u);
  requests.push_back({std::vector<std::int32_t>(24, 4), 101, 0});
  EXPECT_THROW(respond(config, grid, {.slots = 5}, requests, sampling), Error);
}

INSTANTIATE_TEST_SUITE_P(Families, GenerationLawOne, testing::Values("gpt1", "gpt2", "gpt3", "llama"));

}  // namespace
}  // namespace coxswain
