// Episodes as micro-batches, padded on the right to one length. The row that is weighted for token j of a response is
// the one before it: there a language head gives the token's log-probability and a value head the value of the state.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/micro_batch.h"
#include "rl/rollout.h"

namespace coxswain {

// Columns of a micro-batch, in this order.
enum class PolicyColumn { old_log_probs, advantages };
enum class ValueColumn { old_values, returns };
enum class EpisodeColumns { none, policy, value };

// Episodes order[first ... first + count); what lies behind the end of `order` is padding without weight.
MicroBatch episode_batch(const Rollout& rollout, std::span<const std::int64_t> order, std::int64_t first, int count,
                         int length, EpisodeColumns columns);

// Per-token outputs [episodes x length] of all episodes in their order -> those of response tokens. `shift` 1: from the
// rows before the tokens; 0: from the tokens' own rows.
std::vector<float> response_outputs(const Episode& episode, std::span<const float> row, int shift);

}  // namespace coxswain
