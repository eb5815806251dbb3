#include "rl/rollout_state.h"

#include <algorithm>

namespace coxswain {

namespace {

// Members in the order of `numbers`.
constexpr std::vector<float> Episode::*kNumbers[] = {&Episode::log_probs, &Episode::values, &Episode::advantages,
                                                     &Episode::returns};

void show(Archive& archive, const char* name, TensorView memory) {
  Piece piece;
  piece.name = name;
  piece.global = piece.count = memory.shape;
  for (int dim = 0; dim < memory.rank(); ++dim) piece.offset.append(0);
  piece.memory = memory;
  archive.tensor(piece);
}

}  // namespace

RolloutState::RolloutState(Backend& backend, Communicator& world, int episodes, int length)
    : backend_(backend),
      writes_(world.rank() == 0),
      episodes_(episodes),
      length_(length),
      tokens_(backend, DType::i32, {episodes, length}),
      lengths_(backend, DType::i32, {episodes, 3}),
      numbers_(backend, DType::f32, {episodes, std::ssize(kNumbers), length}),
      scores_(backend, DType::f32, {episodes}) {}

void RolloutState::visit(Archive& archive, Rollout& rollout) {
  if (!archive.reading() && !writes_) return;
  if (!archive.reading()) pack(rollout);
  show(archive, "rollout/tokens", tokens_);
  show(archive, "rollout/lengths", lengths_);
  show(archive, "rollout/numbers", numbers_);
  show(archive, "rollout/scores", scores_);
  if (archive.reading()) unpack(rollout);
}

void RolloutState::pack(const Rollout& rollout) {
  const auto length = static_cast<std::size_t>(length_), count = static_cast<std::size_t>(episodes_);
  std::vector<std::int32_t> tokens(count * length), lengths(count * 3);
  std::vector<float> numbers(count * std::size(kNumbers) * length), scores(count);
  for (std::size_t i = 0; i < rollout.episodes.size(); ++i) {
    const Episode& episode = rollout.episodes[i];
    std::copy(episode.tokens.begin(), episode.tokens.end(), tokens.begin() + static_cast<std::ptrdiff_t>(i * length));
    lengths[3 * i] = episode.prompt_length;
    lengths[3 * i + 1] = static_cast<std::int32_t>(episode.tokens.size());
    lengths[3 * i + 2] = episode.ended ? 1 : 0;
    scores[i] = episode.score;
    for (std::size_t n = 0; n < std::size(kNumbers); ++n) {
      const std::vector<float>& values = episode.*kNumbers[n];
      std::copy(values.begin(), values.end(),
                numbers.begin() + static_cast<std::ptrdiff_t>((i * std::size(kNumbers) + n) * length));
    }
  }
  backend_.upload(tokens.data(), tokens_);
  backend_.upload(lengths.data(), lengths_);
  backend_.upload(numbers.data(), numbers_);
  backend_.upload(scores.data(), scores_);
}

void RolloutState::unpack(Rollout& rollout) const {
  const auto length = static_cast<std::size_t>(length_), count = static_cast<std::size_t>(episodes_);
  std::vector<std::int32_t> tokens(count * length), lengths(count * 3);
  std::vector<float> numbers(count * std::size(kNumbers) * length), scores(count);
  backend_.download(tokens_, tokens.data());
  backend_.download(lengths_, lengths.data());
  backend_.download(numbers_, numbers.data());
  backend_.download(scores_, scores.data());
  rollout.episodes.clear();
  for (std::size_t i = 0; i < count && lengths[3 * i + 1] > 0; ++i) {
    Episode episode;
    const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(i * length);
    episode.tokens.assign(first, first + lengths[3 * i + 1]);
    episode.prompt_length = lengths[3 * i];
    episode.ended = lengths[3 * i + 2] != 0;
    episode.score = scores[i];
    for (std::size_t n = 0; n < std::size(kNumbers); ++n) {
      const auto from = numbers.begin() + static_cast<std::ptrdiff_t>((i * std::size(kNumbers) + n) * length);
      (episode.*kNumbers[n]).assign(from, from + episode.response_length());
    }
    rollout.episodes.push_back(std::move(episode));
  }
}

}  // namespace coxswain
