// A rollout in flight comes back from a checkpoint as it was: on every rank, also if it was not full.
#include "rl/rollout_state.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "memory_archive.h"
#include "thread_world.h"

namespace coxswain {
namespace {

constexpr int kEpisodes = 3, kLength = 6;

// Keeps whole tensors as well.
class TensorArchive final : public MemoryArchive {
 public:
  bool reading() const override { return reading_; }
  void tensor(const Piece& piece) override {
    EXPECT_EQ(piece.global, piece.count) << piece.name;
    std::vector<std::byte>& kept = tensors[piece.name];
    if (reading_) {
      ASSERT_EQ(kept.size(), piece.memory.bytes()) << piece.name;
      std::memcpy(piece.memory.data, kept.data(), kept.size());
    } else {
      const auto* data = static_cast<const std::byte*>(piece.memory.data);
      kept.assign(data, data + piece.memory.bytes());
    }
  }
  void read_from_now_on() { reading_ = true; }

  std::map<std::string, std::vector<std::byte>> tensors;

 private:
  bool reading_ = false;
};

Episode episode_of(int prompt, int response, bool ended) {
  Episode episode;
  episode.prompt_length = prompt;
  episode.ended = ended;
  episode.score = static_cast<float>(prompt) - 0.125f;
  for (int i = 0; i < prompt + response; ++i) episode.tokens.push_back(100 * prompt + i);
  for (int i = 0; i < response; ++i) {
    const auto number = static_cast<float>(10 * prompt + i);
    episode.log_probs.push_back(-number);
    episode.values.push_back(number + 0.25f);
    episode.advantages.push_back(number + 0.5f);
    episode.returns.push_back(number + 0.75f);
  }
  return episode;
}

void expect_same(const Rollout& mine, const Rollout& wanted) {
  ASSERT_EQ(mine.episodes.size(), wanted.episodes.size());
  for (std::size_t i = 0; i < mine.episodes.size(); ++i) {
    const Episode &a = mine.episodes[i], &b = wanted.episodes[i];
    EXPECT_EQ(a.tokens, b.tokens);
    EXPECT_EQ(a.prompt_length, b.prompt_length);
    EXPECT_EQ(a.ended, b.ended);
    EXPECT_EQ(a.score, b.score);
    EXPECT_EQ(a.log_probs, b.log_probs);
    EXPECT_EQ(a.values, b.values);
    EXPECT_EQ(a.advantages, b.advantages);
    EXPECT_EQ(a.returns, b.returns);
  }
}

// What two ranks have after a checkpoint that the first of them has written.
void expect_to_come_back(const Rollout& rollout) {
  TensorArchive written;
  ThreadWorld::run(1, [&](Communicator& world) {
    const auto backend = make_cpu_backend();
    Rollout copy = rollout;
    RolloutState(*backend, world, kEpisodes, kLength).visit(written, copy);
    expect_same(copy, rollout);
  });
  ThreadWorld::run(2, [&](Communicator& world) {
    const auto backend = make_cpu_backend();
    TensorArchive archive = written;
    archive.read_from_now_on();
    Rollout read;
    read.episodes.push_back(episode_of(1, 1, true));  // what was there goes
    RolloutState(*backend, world, kEpisodes, kLength).visit(archive, read);
    expect_same(read, rollout);
  });
}

TEST(RolloutState, ComesBackOnEveryRank) {
  expect_to_come_back({{episode_of(2, 4, true), episode_of(5, 1, false), episode_of(1, 2, true)}});
}

TEST(RolloutState, MayBeEmptyOrNotFull) {
  expect_to_come_back({});
  expect_to_come_back({{episode_of(3, 3, true)}});
}

TEST(RolloutState, IsWrittenByTheFirstRankAlone) {
  ThreadWorld::run(2, [](Communicator& world) {
    const auto backend = make_cpu_backend();
    TensorArchive archive;
    Rollout rollout{{episode_of(2, 4, true)}};
    RolloutState(*backend, world, kEpisodes, kLength).visit(archive, rollout);
    EXPECT_EQ(archive.tensors.size(), world.rank() == 0 ? 4u : 0u);
  });
}

// A state that was used for a longer rollout leaves nothing of it behind.
TEST(RolloutState, ForgetsTheRolloutBefore) {
  ThreadWorld::run(1, [](Communicator& world) {
    const auto backend = make_cpu_backend();
    RolloutState state(*backend, world, kEpisodes, kLength);
    Rollout longer{{episode_of(2, 4, true), episode_of(5, 1, false)}}, shorter{{episode_of(1, 2, false)}};
    TensorArchive first, second, fresh;
    state.visit(first, longer);
    state.visit(second, shorter);
    RolloutState(*backend, world, kEpisodes, kLength).visit(fresh, shorter);
    EXPECT_EQ(second.tensors, fresh.tensors);
  });
}

}  // namespace
}  // namespace coxswain
