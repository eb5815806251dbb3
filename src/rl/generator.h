// Samples responses from a model in its training layout: tensor x pipeline x data ranks, virtual stages too. No weight
// moves. Collective over the world.
//
// Data ranks share the requests out. A data replica works on `slots` texts at once, with a cache of keys and values for
// each; a slot whose response ends takes the next request at once (continuous batching, Yu et al., "Orca"). With P
// pipeline ranks the slots form P groups that follow each other through the stages, so that every stage always works:
// the last one draws a token for each text of a group and tells the others, and the group begins again. Prompts go
// through in chunks, beside the rows that decode (Agrawal et al., "Sarathi"), shared out to the passes of all groups.
//
// A token is keyed by (seed, step, prompt, sample, position), and every row is computed as if it were alone (see
// "decoding" in kernels/backend.h): a response depends on model, shards, prompt and sampling, and not on the grid, the
// slots, the chunks, the order of the requests or what is generated beside it.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kernels/held_weights.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "rl/decode_pipeline.h"
#include "rl/sampling.h"

namespace coxswain {

struct GeneratorConfig {
  int slots = 32;          // responses that a data rank works on at once
  int context = 0;         // prompt and response together; 0: the model's
  int prompt_chunk = 256;  // prompt tokens that go through the model at once
  // Weights do not change from hold_weights() to release(): a processor keeps them a second time in fewer bits, which
  // it reads where that is faster.
  bool compress_weights = false;

  void check(const ModelConfig& model) const;
};

class Generator {
 public:
  // The model must outlive it. Takes no memory until it is told to.
  Generator(Model& model, const GeneratorConfig& config);

  // In the order of the requests, the same on every rank. Throws Error(diverged) where logits are not finite.
  std::vector<GeneratedResponse> respond(const std::vector<GenerationRequest>& requests, const Sampling& sampling);
  void reserve();  // takes the cache's memory, unless it has it; respond() does so too
  // Of compress_weights, once they have their values: respond() does so too, within a step.
  void hold_weights();
  void release();  // gives caches and compressed weights back to the system
  int context() const { return config_.context; }

 private:
  int slots_per_group() const;
  DecodePipeline& pipeline_for(const Sampling& sampling);
  void check(const std::vector<GenerationRequest>& requests) const;

  Model& model_;
  GeneratorConfig config_;
  std::optional<HeldWeights> held_weights_;
  std::vector<KvCache> caches_;               // of each of the model's stages here
  std::unique_ptr<DecodePipeline> pipeline_;  // kept, with what it has recorded, while it serves
};

}  // namespace coxswain
