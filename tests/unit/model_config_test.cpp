// Presets against published parameter counts; the check; work a token.
#include "model/config.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "model/presets.h"

namespace coxswain {
namespace {

ModelConfig checked(const std::string& name) {
  ModelConfig model = model_preset(name);
  model.check();
  return model;
}

// Exact counts of the released weights (Hugging Face: openai-gpt, gpt2 ..., llama-*-hf).
TEST(ModelConfig, CountsParametersOfReleasedModelsExactly) {
  const std::pair<const char*, std::int64_t> published[] = {
      {"gpt1", 116'534'784},         {"gpt2", 124'439'808},         {"gpt2_medium", 354'823'168},
      {"gpt2_large", 774'030'080},   {"gpt2_xl", 1'557'611'200},    {"llama_7b", 6'738'415'616},
      {"llama_13b", 13'015'864'320}, {"llama_33b", 32'528'943'616}, {"llama_65b", 65'285'660'672},
  };
  for (const auto& [name, count] : published) EXPECT_EQ(checked(name).parameter_count(), count) << name;
}

// Brown et al. 2020, table D.1, in millions.
TEST(ModelConfig, CountsParametersOfGpt3AsPrinted) {
  const std::pair<const char*, double> printed[] = {
      {"gpt3_125m", 125},  {"gpt3_350m", 356},  {"gpt3_760m", 760},  {"gpt3_1.3b", 1320},
      {"gpt3_2.7b", 2650}, {"gpt3_6.7b", 6660}, {"gpt3_13b", 12850}, {"gpt3_175b", 174600},
  };
  for (const auto& [name, millions] : printed) {
    EXPECT_NEAR(static_cast<double>(checked(name).parameter_count()) / 1e6 / millions, 1.0, 0.005) << name;
  }
}

// Narayanan et al. 2021 with v = 51200, see reference: 1.076e12 for 175B at 2048 tokens.
TEST(ModelConfig, CountsWorkAToken) {
  EXPECT_NEAR(checked("gpt3_175b").flops_per_token(2048) / 1.076e12, 1.0, 0.002);
  // By hand: L 1, h 4, a 2, f 16, v 10, t 3. Matrices 3*16 + 16 + 2*64 = 192; biases 12 + 4 + 16 + 4 = 36; norms
  // 3*8 = 24; output 40: N = 292. 6*292 + 12*1*4*3 = 1752 + 144.
  ModelConfig model;
  model.layers = 1;
  model.hidden = 4;
  model.heads = 2;
  model.vocabulary = 10;
  model.context = 5;
  model.check();
  EXPECT_EQ(model.parameter_count(), 292 + 5 * 4);
  EXPECT_DOUBLE_EQ(model.flops_per_token(3), 1896.0);
  model.tied_embeddings = false;
  EXPECT_EQ(model.parameter_count(), 292 + 5 * 4 + 40);
  EXPECT_DOUBLE_EQ(model.flops_per_token(3), 1896.0);
}

TEST(ModelConfig, FillsDerivedSizesIn) {
  ModelConfig model = model_preset("gpt2");
  model.hidden = 1536;
  model.check();
  EXPECT_EQ(model.kv_heads, 12);
  EXPECT_EQ(model.head_size, 128);
  EXPECT_EQ(model.feed_forward, 6144);
}

TEST(ModelConfig, PadsEachShardOfTheVocabulary) {
  const ModelConfig model = checked("gpt2");
  EXPECT_EQ(model.padded_vocabulary(1), 50304);
  EXPECT_EQ(model.padded_vocabulary(8), 51200);
  EXPECT_EQ(model.padded_vocabulary(3) % (3 * 128), 0);
}

TEST(ModelConfig, BandsEverySecondLayer) {
  const ModelConfig model = checked("gpt3_125m");
  EXPECT_EQ(model.band_of_layer(0), 0);
  EXPECT_EQ(model.band_of_layer(1), model.band);
  EXPECT_EQ(checked("gpt2").band_of_layer(1), 0);
}

std::string refusal(ModelConfig model) {
  try {
    model.check();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    return error.what();
  }
  return "accepted";
}

TEST(ModelConfig, RefusesWhatCannotBe) {
  EXPECT_EQ(refusal(ModelConfig{}),
            "[model] layers = 0 must be given and positive, or [model] preset must name a model that brings it");
  ModelConfig model = model_preset("gpt2");
  model.hidden = 100;
  EXPECT_EQ(refusal(model),
            "[model] heads = 12 does not divide [model] hidden = 100; use a divisor, or give head_size");
  model = model_preset("llama_7b");
  model.kv_heads = 5;
  EXPECT_EQ(refusal(model),
            "[model] kv_heads = 5 does not divide [model] heads = 32; use a divisor, or 0 for as many as heads");
  model = model_preset("llama_7b");
  model.head_size = 127;
  EXPECT_EQ(refusal(model),
            "[model] head_size = 127 is odd, but [model] positions = rotary turns pairs: use an even size");
  model = model_preset("gpt2");
  model.dropout = 1.0;
  EXPECT_EQ(refusal(model), "[model] dropout = 1 is no probability: use 0 (off) or more, and less than 1");
  model = model_preset("gpt3_175b");
  model.layers = 10000;
  EXPECT_EQ(refusal(model), "accepted");
  model.hidden = 960000;
  model.head_size = 0;
  EXPECT_EQ(refusal(model),
            "[model] layers = 10000 of [model] hidden = 960000 make some 1e+17 parameters, and 1e+14 are the most; use "
            "fewer or smaller layers");
}

TEST(ModelPresets, AreAllSoundAndKnownByName) {
  for (const std::string& name : model_preset_names()) {
    EXPECT_EQ(model_preset(name).preset, name);
    if (name != "custom") {
      EXPECT_NO_THROW(checked(name)) << name;
    }
  }
  EXPECT_THROW(model_preset("gpt5"), Error);
}

}  // namespace
}  // namespace coxswain
