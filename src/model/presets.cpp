// GPT-1: Radford et al. 2018. GPT-2: Radford et al. 2019. GPT-3: Brown et al. 2020, table 2.1. LLaMA: Touvron et al.
// 2023, table 2; its feed-forward sizes (2/3 of 4h, rounded up to a multiple of 256) are those of the released weights.
#include "model/presets.h"

#include <fmt/format.h>

#include "base/error.h"

namespace coxswain {

namespace {

constexpr int kGptVocabulary = 50257;  // GPT-2's byte-level BPE

ModelConfig gpt2(int layers, int hidden, int heads) {
  ModelConfig model;
  model.layers = layers;
  model.hidden = hidden;
  model.heads = heads;
  model.vocabulary = kGptVocabulary;
  model.context = 1024;
  return model;
}

ModelConfig gpt1() {
  ModelConfig model = gpt2(12, 768, 12);
  model.vocabulary = 40478;  // 40,000 merges and the base symbols of the released vocabulary
  model.context = 512;
  model.norm_position = NormPosition::post;
  model.dropout = 0.1;
  model.embedding_dropout = 0.1;
  return model;
}

ModelConfig gpt3(int layers, int hidden, int heads) {
  ModelConfig model = gpt2(layers, hidden, heads);
  model.context = 2048;
  model.banded_layers = BandedLayers::alternate;
  model.band = 256;  // the width is not printed: an assumption
  return model;
}

ModelConfig llama(int layers, int hidden, int heads, int feed_forward) {
  ModelConfig model = gpt2(layers, hidden, heads);
  model.feed_forward = feed_forward;
  model.vocabulary = 32000;
  model.context = 2048;
  model.norm = NormKind::rms;
  model.norm_epsilon = 1e-6;
  model.activation = Activation::silu;
  model.gated = true;
  model.positions = PositionKind::rotary;
  model.bias = false;
  model.tied_embeddings = false;
  return model;
}

struct Preset {
  const char* name;
  ModelConfig model;
};

const std::vector<Preset>& presets() {
  static const std::vector<Preset> table = {
      {"custom", ModelConfig{}},
      {"gpt1", gpt1()},
      {"gpt2", gpt2(12, 768, 12)},
      {"gpt2_medium", gpt2(24, 1024, 16)},
      {"gpt2_large", gpt2(36, 1280, 20)},
      {"gpt2_xl", gpt2(48, 1600, 25)},
      {"gpt3_125m", gpt3(12, 768, 12)},
      {"gpt3_350m", gpt3(24, 1024, 16)},
      {"gpt3_760m", gpt3(24, 1536, 16)},
      {"gpt3_1.3b", gpt3(24, 2048, 16)},  // 24 heads of 128 are printed, which do not make 2048
      {"gpt3_2.7b", gpt3(32, 2560, 32)},
      {"gpt3_6.7b", gpt3(32, 4096, 32)},
      {"gpt3_13b", gpt3(40, 5120, 40)},  // 5140 is printed, which 40 heads do not divide
      {"gpt3_175b", gpt3(96, 12288, 96)},
      {"llama_7b", llama(32, 4096, 32, 11008)},
      {"llama_13b", llama(40, 5120, 40, 13824)},
      {"llama_33b", llama(60, 6656, 52, 17920)},
      {"llama_65b", llama(80, 8192, 64, 22016)},
  };
  return table;
}

}  // namespace

ModelConfig model_preset(const std::string& name) {
  for (const Preset& preset : presets()) {
    if (preset.name == name) {
      ModelConfig model = preset.model;
      model.preset = name;
      return model;
    }
  }
  throw Error(ExitCode::usage, fmt::format("[model] preset = {} is not known; use one of {}", name,
                                           fmt::join(model_preset_names(), ", ")));
}

std::vector<std::string> model_preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.emplace_back(preset.name);
  return names;
}

}  // namespace coxswain
