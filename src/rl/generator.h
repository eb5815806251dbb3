// Samples responses from a model in its training layout, one token after another, each by a whole forward pass.
//
// A sample is keyed by (seed, prompt, position): it does not depend on the grid. Collective over the world; every data
// rank computes the same.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"

namespace coxswain {

struct Sampling {
  std::uint64_t seed = 1;
  double temperature = 1.0;  // 0: the likeliest token always
  int max_new_tokens = 128;
  std::int32_t stop_token = -1;  // ends the response; it is part of it
};

class Generator {
 public:
  // length: tokens of a forward pass; longer texts keep their last part.
  Generator(Model& model, int length) : model_(model), length_(length) {}

  // The response to prompt number `prompt_index`. prompt: at least one token.
  std::vector<std::int32_t> respond(const std::vector<std::int32_t>& prompt, std::int64_t prompt_index,
                                    const Sampling& sampling);

 private:
  std::vector<float> next_logits(const std::vector<std::int32_t>& text);  // on the last stage; empty elsewhere

  Model& model_;
  int length_;
};

// One token of softmax(logits / temperature) by inversion of `uniform` in [0, 1), tokens in order, in double.
std::int32_t sample_token(const std::vector<float>& logits, double temperature, double uniform);

}  // namespace coxswain
