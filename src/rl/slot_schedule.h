// Which rows go through the model next: slots that are refilled as soon as their response ends, in groups that take
// turns (one for each pipeline stage), the groups sharing one queue of requests.
//
// While one stage works on a group's pass, the next stage works on that of the group before: a pass that is larger than
// its neighbours keeps every other stage waiting. So a prompt is shared out to the passes of all groups that come next,
// which may carry rows of another group's slot: each stage sees passes, and so a slot's rows, in one order. Only the
// last row, whose token is wanted, goes with the slot's own group.
//
// Every rank of a data replica keeps the same schedule and learns the same tokens, so nothing about it is ever sent.
// Responses do not depend on it: a row is computed as if it were alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rl/sampling.h"

namespace coxswain {

// The rows of one pass of one group.
struct PassPlan {
  std::vector<std::int32_t> tokens, positions, slots;  // [m]
  std::vector<std::int32_t> sampled;                   // [s]: rows whose next token is wanted
  std::vector<double> uniform;                         // [s]
  std::vector<std::int32_t> bans;                      // [s]: 1 where stop tokens may not be drawn yet

  std::int64_t rows() const { return static_cast<std::int64_t>(tokens.size()); }
};

class SlotSchedule {
 public:
  struct Limits {
    int groups = 1, slots_per_group = 1;
    int context = 0;       // tokens of prompt and response together
    int prompt_chunk = 0;  // prompt tokens in one pass
  };
  // Works on requests[i] for i in own, in that order. Requests and sampling must outlive it.
  SlotSchedule(const std::vector<GenerationRequest>& requests, std::vector<std::size_t> own, const Sampling& sampling,
               const Limits& limits);

  // The group's next pass: free slots take the next requests; one row for each slot that is in its response, and prompt
  // rows up to the chunk, slot by slot, the group's own first. No rows in a whole round of groups: all have finished.
  // The plan stays valid until the next call.
  const PassPlan& plan(int group);
  // What was drawn for the plan's sampled rows. log_probs: the same, or empty on ranks that do not know them.
  void accept(int group, std::span<const std::int32_t> drawn, std::span<const float> log_probs);

  // Responses by request; those of other replicas are empty.
  std::vector<GeneratedResponse>& responses() { return responses_; }

 private:
  struct Slot {
    std::int64_t request = -1;  // -1: free
    std::int64_t cached = 0;    // tokens of prompt and response that have been through the model
  };
  // Of slots_: a group's slots are consecutive.
  std::size_t first_slot(int group) const { return static_cast<std::size_t>(group * limits_.slots_per_group); }
  std::int64_t length(const Slot& slot) const;  // of its text so far
  std::int32_t token(const Slot& slot, std::int64_t position) const;
  bool responding(const Slot& slot) const;       // only its newest token has not been through the model
  std::int64_t waiting(const Slot& slot) const;  // prompt rows that have not been through the model
  void refill(int group);
  std::int64_t prompt_rows();  // in the next pass
  void add_rows(std::size_t index, std::int64_t count, PassPlan& plan);
  void add_sampled(int group, std::size_t index, PassPlan& plan);  // the last row

  const std::vector<GenerationRequest>& requests_;
  std::vector<std::size_t> own_;
  const Sampling& sampling_;
  Limits limits_;
  std::size_t next_ = 0;    // of own_
  std::int64_t share_ = 0;  // of the prompts that wait, in one pass
  std::vector<Slot> slots_;
  std::vector<PassPlan> plans_;                       // of each group
  std::vector<std::vector<std::size_t>> sampled_of_;  // slots behind the plan's sampled rows
  std::vector<GeneratedResponse> responses_;
};

}  // namespace coxswain
