#include "rl/comparison_batch.h"

#include <algorithm>

namespace coxswain {

namespace {

MicroBatch padding(int sequences, int length) {
  MicroBatch batch;
  batch.sequences = sequences;
  batch.length = length;
  const auto row = static_cast<std::size_t>(length), count = static_cast<std::size_t>(sequences);
  batch.tokens.assign(count * row, 0);
  batch.targets.assign(count * row, 0);
  batch.weights.assign(count * row, 0.0f);
  for (std::size_t i = 0; i < count * row; ++i) batch.positions.push_back(static_cast<std::int32_t>(i % row));
  for (std::size_t i = 0; i < count; ++i) batch.score_rows.push_back(static_cast<std::int32_t>(i * row));
  batch.ranks.assign(count, 0);
  return batch;
}

TokenSequence joined(const TokenSequence& prompt, const TokenSequence& response) {
  TokenSequence whole = prompt;
  whole.insert(whole.end(), response.begin(), response.end());
  return whole;
}

void fill_row(MicroBatch& batch, int row, const TokenSequence& tokens) {
  const auto first = static_cast<std::size_t>(row) * static_cast<std::size_t>(batch.length);
  std::copy(tokens.begin(), tokens.end(), batch.tokens.begin() + static_cast<std::ptrdiff_t>(first));
  batch.score_rows[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(first + tokens.size() - 1);
  batch.weights[first + tokens.size() - 1] = 1.0f;
}

}  // namespace

MicroBatch sequence_batch(std::span<const TokenSequence> sequences, std::int64_t first, int count, int length) {
  MicroBatch batch = padding(count, length);
  for (int row = 0; row < count && first + row < std::ssize(sequences); ++row)
    fill_row(batch, row, sequences[static_cast<std::size_t>(first + row)]);
  return batch;
}

MicroBatch comparison_batch(std::span<const Comparison> comparisons, std::span<const std::int64_t> order,
                            std::int64_t first, int prompts, int responses, int length) {
  MicroBatch batch = padding(prompts * responses, length);
  for (int prompt = 0; prompt < prompts && first + prompt < std::ssize(order); ++prompt) {
    const std::int64_t place = order[static_cast<std::size_t>(first + prompt)];
    const Comparison& comparison = comparisons[static_cast<std::size_t>(place)];
    for (std::size_t i = 0; i < comparison.responses.size(); ++i) {
      const int row = prompt * responses + static_cast<int>(i);
      fill_row(batch, row, joined(comparison.prompt, comparison.responses[i]));
      batch.ranks[static_cast<std::size_t>(row)] = comparison.ranks[i];
    }
  }
  return batch;
}

std::vector<TokenSequence> sequences_of(std::span<const Comparison> comparisons) {
  std::vector<TokenSequence> sequences;
  for (const Comparison& comparison : comparisons)
    for (const TokenSequence& response : comparison.responses) sequences.push_back(joined(comparison.prompt, response));
  return sequences;
}

}  // namespace coxswain
