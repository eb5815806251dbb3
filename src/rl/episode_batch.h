// Episodes as micro-batches, padded on the right to one length. The row that is weighted for token j of a response is
// the one before it: there a language head gives the token's log-probability and a value head the value of the state.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/micro_batch.h"
#include "rl/rollout.h"
#include "train/global_batch.h"

namespace coxswain {

// Columns of a micro-batch, in this order.
enum class PolicyColumn { old_log_probs, advantages };
enum class ValueColumn { old_values, returns };
enum class EpisodeColumns { none, policy, value };

// Episodes order[first ... first + count); what lies behind the end of `order` is padding without weight.
MicroBatch episode_batch(const Rollout& rollout, std::span<const std::int64_t> order, std::int64_t first, int count,
                         int length, EpisodeColumns columns);

// All episodes in their order, as a batch for an Evaluator; rows have the shortest length that holds all, in steps of
// 16 tokens up to `longest`: the same on every rank and grid. The rollout must outlive it.
GlobalBatch whole_rollout(const Rollout& rollout, int micro, int longest);
int row_length(const Rollout& rollout, int longest);

// What an Evaluator gave for that batch, to where it belongs. A language head gives -log p.
void take_log_probs(std::span<const float> outputs, int row_length, std::vector<float> Episode::*member,
                    Rollout& rollout);
void take_values(std::span<const float> outputs, int row_length, Rollout& rollout);
void take_scores(std::span<const float> outputs, int row_length, Rollout& rollout);  // at the last tokens

}  // namespace coxswain
