#include "rl/episode_batch.h"

#include <algorithm>
#include <numeric>

namespace coxswain {

namespace {

// Copies response values to the rows before their tokens.
void fill(const std::vector<float>& values, const Episode& episode, std::size_t first_row, std::vector<float>& column) {
  const auto start = first_row + static_cast<std::size_t>(episode.prompt_length) - 1;
  std::copy(values.begin(), values.end(), column.begin() + static_cast<std::ptrdiff_t>(start));
}

void fill_row(MicroBatch& batch, const Episode& episode, int row, EpisodeColumns columns) {
  const std::size_t first = static_cast<std::size_t>(row) * static_cast<std::size_t>(batch.length);
  std::copy(episode.tokens.begin(), episode.tokens.end(), batch.tokens.begin() + static_cast<std::ptrdiff_t>(first));
  std::copy(episode.tokens.begin() + 1, episode.tokens.end(),
            batch.targets.begin() + static_cast<std::ptrdiff_t>(first));
  for (int j = 0; j < episode.response_length(); ++j)
    batch.weights[first + static_cast<std::size_t>(episode.prompt_length - 1 + j)] = 1.0f;
  batch.score_rows[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(first + episode.tokens.size() - 1);
  if (columns == EpisodeColumns::policy) {
    fill(episode.log_probs, episode, first, batch.columns[static_cast<std::size_t>(PolicyColumn::old_log_probs)]);
    fill(episode.advantages, episode, first, batch.columns[static_cast<std::size_t>(PolicyColumn::advantages)]);
  }
  if (columns == EpisodeColumns::value) {
    fill(episode.values, episode, first, batch.columns[static_cast<std::size_t>(ValueColumn::old_values)]);
    fill(episode.returns, episode, first, batch.columns[static_cast<std::size_t>(ValueColumn::returns)]);
  }
}

}  // namespace

MicroBatch episode_batch(const Rollout& rollout, std::span<const std::int64_t> order, std::int64_t first, int count,
                         int length, EpisodeColumns columns) {
  MicroBatch batch;
  batch.sequences = count;
  batch.length = length;
  const auto size = static_cast<std::size_t>(count) * static_cast<std::size_t>(length);
  batch.tokens.assign(size, 0);
  batch.targets.assign(size, 0);
  batch.weights.assign(size, 0.0f);
  for (std::size_t i = 0; i < size; ++i)
    batch.positions.push_back(static_cast<std::int32_t>(i % static_cast<std::size_t>(length)));
  batch.score_rows.assign(static_cast<std::size_t>(count), 0);
  if (columns != EpisodeColumns::none) batch.columns.assign(2, std::vector<float>(size, 0.0f));
  for (int row = 0; row < count; ++row) {
    const auto place = static_cast<std::size_t>(first + row);
    if (place < order.size()) fill_row(batch, rollout.episodes[static_cast<std::size_t>(order[place])], row, columns);
  }
  return batch;
}

int row_length(const Rollout& rollout, int longest) {
  constexpr std::size_t kUnit = 16;
  std::size_t most = 1;
  for (const Episode& episode : rollout.episodes) most = std::max(most, episode.tokens.size());
  return std::min(static_cast<int>((most + kUnit - 1) / kUnit * kUnit), longest);
}

GlobalBatch whole_rollout(const Rollout& rollout, int micro, int longest) {
  GlobalBatch batch;
  batch.size = static_cast<int>(rollout.episodes.size());
  batch.micro = micro;
  std::vector<std::int64_t> in_order(rollout.episodes.size());
  std::iota(in_order.begin(), in_order.end(), 0);
  batch.load = [&rollout, order = std::move(in_order), length = row_length(rollout, longest)](std::int64_t first,
                                                                                              int count) {
    return episode_batch(rollout, order, first, count, length, EpisodeColumns::none);
  };
  return batch;
}

namespace {

// From the rows before the response's tokens.
std::vector<float> response_outputs(const Episode& episode, std::span<const float> outputs, std::size_t first_row) {
  const auto start = outputs.begin() + static_cast<std::ptrdiff_t>(first_row) + std::max(0, episode.prompt_length - 1);
  return {start, start + episode.response_length()};
}

}  // namespace

void take_log_probs(std::span<const float> outputs, int row_length, std::vector<float> Episode::*member,
                    Rollout& rollout) {
  for (std::size_t i = 0; i < rollout.episodes.size(); ++i) {
    Episode& episode = rollout.episodes[i];
    episode.*member = response_outputs(episode, outputs, i * static_cast<std::size_t>(row_length));
    for (float& value : episode.*member) value = -value;
  }
}

void take_values(std::span<const float> outputs, int row_length, Rollout& rollout) {
  for (std::size_t i = 0; i < rollout.episodes.size(); ++i)
    rollout.episodes[i].values =
        response_outputs(rollout.episodes[i], outputs, i * static_cast<std::size_t>(row_length));
}

void take_scores(std::span<const float> outputs, int row_length, Rollout& rollout) {
  for (std::size_t i = 0; i < rollout.episodes.size(); ++i) {
    Episode& episode = rollout.episodes[i];
    episode.score = outputs[i * static_cast<std::size_t>(row_length) + episode.tokens.size() - 1];
  }
}

}  // namespace coxswain
