// One pass of a group of slots through the stages of one rank: receive, decode, send on, and at the end of the pipeline
// draw the tokens and tell them to the other stages. Collective over grid.pipeline() and, inside, over grid.tensor().
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "model/decode_batch.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "rl/slot_schedule.h"

namespace coxswain {

class DecodePipeline {
 public:
  struct Capacity {
    std::int64_t rows = 0, sampled = 0;  // the most of one pass
  };
  // Collective over grid.pipeline().
  DecodePipeline(Model& model, std::vector<KvCache>& caches, const Sampling& sampling, const Capacity& capacity);

  // The pass's part in stage `chunk` of this rank. Passes must come in the same order on every rank.
  void run(int chunk, int group, const PassPlan& plan);
  // What was drawn in the group's last pass: known on ranks of the last stage, received on the others.
  std::span<const std::int32_t> drawn(int group, std::int64_t count);
  std::span<const float> log_probs(int group) const;  // empty on other ranks than the last stage's
  void finish();                                      // until all that was sent has left

 private:
  struct Drawn {
    std::vector<std::int32_t> tokens;
    std::vector<float> log_probs;
  };
  struct Departure {
    Request request;
    Tensor memory;
  };
  void open_routes() const;
  DecodeBatch upload(const PassPlan& plan);
  void draw(TensorView logits, const PassPlan& plan, Drawn& drawn);
  void send(TensorView data, Tensor memory, int to, const char* name);
  Drawn& of(int group);
  bool ends_here() const;

  Model& model_;
  const ModelContext& context_;
  std::vector<KvCache>& caches_;
  const Sampling& sampling_;
  Capacity capacity_;
  Tensor integers_;   // i32 [4, rows]: tokens, positions, slots, sampled
  Tensor bans_;       // i32 [sampled]
  Tensor uniform_;    // f64 [sampled]
  Tensor banned_;     // i32, or empty
  Tensor tokens_;     // i32 [sampled]
  Tensor log_probs_;  // f32 [sampled]
  DecodeRows local_;  // on its way between two stages of this very rank
  std::vector<Drawn> drawn_;
  std::deque<Departure> departures_;
};

}  // namespace coxswain
