// One pass of a group of slots through the stages of one rank: receive, decode, send on, and at the end of the pipeline
// draw the tokens and tell them to the other stages. Collective over grid.pipeline() and, inside, over grid.tensor().
//
// What lies between receiving and sending is recorded work (Backend::record), a recording for each stage and each
// number of rows, so a device that records is asked for it in a few calls. Its inputs and results lie in memory that
// stays: all that a pass brings is uploaded at once before, and what was drawn is downloaded at once afterwards. Passes
// are rounded up to few sizes by repeating a row, which is computed as if it were alone, and caches the same keys
// again.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <vector>

#include "kernels/recording.h"
#include "model/decode_batch.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "rl/slot_schedule.h"

namespace coxswain {

class DecodePipeline {
 public:
  struct Capacity {
    std::int64_t rows = 0, sampled = 0;  // the most of one pass; a slot that responds has one row
  };
  // Collective over grid.pipeline(). Of the sampling only what serves() compares is taken.
  DecodePipeline(Model& model, std::vector<KvCache>& caches, const Sampling& sampling, const Capacity& capacity);

  // Whether it can be used for this sampling, the model's weights lying where they did.
  bool serves(const Sampling& sampling) const;

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
  // What recorded operations hold beside addresses of this object's own memory.
  struct Fixed {
    double temperature = 1, top_p = 1;
    std::int64_t top_k = 0;
    std::vector<std::int32_t> banned;  // empty if nothing ever is
    std::vector<const void*> weights;  // of each of the model's buffers
    friend bool operator==(const Fixed&, const Fixed&) = default;
  };
  using Passes = std::array<std::int64_t, 3>;  // of one stage, with so many rows and sampled ones

  Fixed fixed(const Sampling& sampling) const;
  void open_routes() const;
  DecodeBatch upload(const PassPlan& plan);
  void decode(int chunk, const DecodeBatch& batch);
  void draw(TensorView logits, const DecodeBatch& batch);
  void fetch(int group, std::int64_t count);
  void send(TensorView from, int to, const char* name);
  TensorView passed(std::int64_t rows) const;  // on its way between two stages
  Drawn& of(int group);
  bool ends_here() const;

  Model& model_;
  const ModelContext& context_;
  std::vector<KvCache>& caches_;
  const Capacity capacity_;
  const Fixed fixed_;
  std::vector<std::int32_t> staged_;  // what inputs_ gets
  Tensor inputs_;                     // i32: uniform (f64 [sampled]), tokens, positions, slots, sampled, bans
  Tensor banned_;                     // i32, or empty
  Tensor results_;                    // i32 [2, sampled]: tokens, log_probs (f32)
  Tensor passed_;                     // [rows, h], where there is more than one stage
  std::map<Passes, Recording> recordings_;
  std::vector<Drawn> drawn_;
  std::deque<Departure> departures_;
};

}  // namespace coxswain
