// What sets the model families apart, for tests that run small models of each.
#pragma once

#include <string>

#include "model/config.h"

namespace coxswain {

// Turns a model of GPT-2's kind into "gpt1" (norms behind the residual sums), "gpt3" (every other layer sees `band`
// positions) or "llama" (RMSNorm, SwiGLU, rotary positions, two key heads, no biases, untied); "gpt2" stays.
inline void make_family(ModelConfig& model, const std::string& family, int band) {
  model.band = band;
  if (family == "gpt1") model.norm_position = NormPosition::post;
  if (family == "gpt3") model.banded_layers = BandedLayers::alternate;
  if (family == "llama") {
    model.norm = NormKind::rms;
    model.activation = Activation::silu;
    model.gated = true;
    model.kv_heads = 2;
    model.positions = PositionKind::rotary;
    model.bias = false;
    model.tied_embeddings = false;
  }
  model.check();
}

}  // namespace coxswain
