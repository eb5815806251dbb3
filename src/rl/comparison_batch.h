// Comparisons as micro-batches for a RankingObjective: the K responses of a prompt are K neighbouring sequences of
// prompt, response and stop, padded on the right to one length; the score of each is that of its last token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/preferences.h"
#include "model/micro_batch.h"

namespace coxswain {

using TokenSequence = std::vector<std::int32_t>;

// Sequences [first, first + count); what lies behind the end is padding without weight, rank 0.
MicroBatch sequence_batch(std::span<const TokenSequence> sequences, std::int64_t first, int count, int length);

// Comparisons order[first ... first + prompts), K = `responses` sequences each. A comparison of fewer is filled up with
// padding of rank 0, and so is what lies behind the end of `order`.
MicroBatch comparison_batch(std::span<const Comparison> comparisons, std::span<const std::int64_t> order,
                            std::int64_t first, int prompts, int responses, int length);

// Prompt and response of each response, comparison after comparison.
std::vector<TokenSequence> sequences_of(std::span<const Comparison> comparisons);

}  // namespace coxswain
