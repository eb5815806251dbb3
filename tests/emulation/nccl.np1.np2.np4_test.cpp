// The communicator on NCCL, on emulated GPUs: everything arrives where it should, whatever else the GPU has to do.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "kernels/device.h"
#include "mpi_test.h"
#include "parallel/nccl_communicator.h"
#include "parallel/ordered_reduce.h"
#include "tensor/tensor.h"
#include "tests/emulation/schedule.h"

namespace coxswain {
namespace {

constexpr std::int64_t kLong = 5000;  // elements: more than a ring of the emulation holds
constexpr int kRounds = 6;

// For every seed of the GPU's order.
class Nccl : public ::testing::TestWithParam<std::uint64_t> {
 protected:
  Nccl() : backend_(start()), rank_(group_->rank()), size_(group_->size()) {}

  static std::unique_ptr<Backend> start() {
    setenv("COXSWAIN_EMULATED_DEVICES", std::to_string(world().size()).c_str(), 1);
    cuda_emulation::set_seed(10 * GetParam() + static_cast<std::uint64_t>(world().rank()));
    return make_cuda_backend(world().rank());
  }

  Tensor tensor(const Shape& shape, double value = 0) {
    Tensor made(*backend_, DType::f32, shape);
    backend_->fill(made, value);
    return made;
  }
  // Work that takes long where others may overtake it: the value arrives bit by bit.
  Tensor slowly(const Shape& shape, double value) {
    Tensor made = tensor(shape, -1000);
    const Tensor one = tensor(shape, 1);
    for (int i = 0; i < 1000; i += 250) backend_->add(made, one, made);
    backend_->fill(made, value);
    return made;
  }
  std::vector<float> read(const TensorView& view) {
    std::vector<float> values(static_cast<std::size_t>(view.elements()));
    backend_->download(view, values.data());
    return values;
  }
  static std::vector<float> all(std::int64_t count, double value) {
    return std::vector<float>(static_cast<std::size_t>(count), static_cast<float>(value));
  }
  int next() const { return (rank_ + 1) % size_; }
  int before() const { return (rank_ + size_ - 1) % size_; }
  std::vector<Route> ring(const std::string& name) const {
    std::vector<Route> routes;
    for (int r = 0; r < size_ && size_ > 1; ++r) routes.push_back({name, r, (r + 1) % size_});
    return routes;
  }

  const std::unique_ptr<Backend> backend_;
  const std::unique_ptr<Communicator> group_ = make_nccl_communicator(world(), *backend_, 30);
  const int rank_, size_;
};

TEST_P(Nccl, MessagesOfOneNameKeepTheirOrderAndOthersDoNotWaitForThem) {
  if (size_ == 1) return;
  for (const char* name : {"activation", "gradient"}) group_->open(ring(name));
  for (int round = 0; round < kRounds; ++round) {
    const double own = 10 * rank_ + round;
    const Tensor a = slowly({kLong}, own), b = tensor({1}, own + 0.5), c = slowly({kLong}, -own);
    const Tensor from_a = tensor({kLong}), from_b = tensor({1}), from_c = tensor({kLong});
    std::vector<Request> sent;
    sent.push_back(group_->send(a, next(), "activation"));
    sent.push_back(group_->send(b, next(), "activation"));
    sent.push_back(group_->send(c, next(), "gradient"));
    group_->receive(from_c, before(), "gradient").wait();
    group_->receive(from_a, before(), "activation").wait();
    const double theirs = 10 * before() + round;
    EXPECT_EQ(read(from_c), all(kLong, -theirs));
    EXPECT_EQ(read(from_a), all(kLong, theirs));
    { const Request unwaited = group_->receive(from_b, before(), "activation"); }  // waited for by its end
    EXPECT_EQ(read(from_b), all(1, theirs + 0.5));
  }
}

// What is sent may be used again after the wait, what is received may hold something that is still read.
TEST_P(Nccl, MemoryIsUsedAgain) {
  if (size_ == 1) return;
  group_->open(ring("round"));
  for (int round = 0; round < kRounds; ++round) {
    const Tensor mine = slowly({kLong}, rank_ + 100 * round), got = slowly({kLong}, 7), kept = tensor({kLong});
    Request sent = group_->send(mine, next(), "round");
    backend_->add(got, mine, kept);  // reads what is received into later
    group_->receive(got, before(), "round").wait();
    sent.wait();
    backend_->fill(mine, -1);
    EXPECT_EQ(read(kept), all(kLong, 7 + rank_ + 100 * round));
    EXPECT_EQ(read(got), all(kLong, before() + 100 * round));
  }
}

// The watch looks at what is under way, and must not take it for done: the first rank sends late, and the others, who
// have been looked at meanwhile, only when they have got something.
TEST_P(Nccl, WhatTheWatchHasSeenIsStillWaitedFor) {
  if (size_ == 1) return;
  const auto watch_looks = [] { std::this_thread::sleep_for(std::chrono::milliseconds(150)); };  // each 100 ms
  group_->open(ring("seen"));
  const Tensor mine = slowly({kLong}, rank_), got = tensor({kLong}, -1), doubled = tensor({kLong});
  if (rank_ == 0) {
    watch_looks();
    watch_looks();
    group_->send(mine, next(), "seen").wait();
  }
  Request received = group_->receive(got, before(), "seen");
  if (rank_ != 0) watch_looks();
  received.wait();
  backend_->add(got, got, doubled);
  if (rank_ != 0) group_->send(mine, next(), "seen").wait();
  EXPECT_EQ(read(doubled), all(kLong, 2 * before()));
}

// What arrives may overtake all that the backend is asked for between expecting and waiting, and nothing before or
// after.
TEST_P(Nccl, WhatIsExpectedComesBesideOtherWork) {
  if (size_ == 1) return;
  group_->open(ring("expected"));
  int overtaken = 0;
  for (int round = 0; round < 4 * kRounds; ++round) {
    const Tensor mine = tensor({kLong}, rank_ + 100 * round), before_it = tensor({kLong}), meanwhile = tensor({kLong});
    const Tensor got = slowly({kLong}, 7), twice = tensor({kLong});
    backend_->copy(got, before_it);
    Request sent = group_->send(mine, next(), "expected");
    Request received = group_->expect(got, before(), "expected");
    for (int i = 0; i < 8; ++i) backend_->copy(got, meanwhile);  // which no program may: it shows when the data came
    received.wait();
    backend_->add(got, got, twice);
    sent.wait();
    EXPECT_EQ(read(before_it), all(kLong, 7));
    EXPECT_EQ(read(twice), all(kLong, 2 * (before() + 100 * round)));
    overtaken += read(meanwhile) != all(kLong, 7);
  }
  EXPECT_GT(overtaken, 0);
}

// What is sent only when somebody has waited for the whole device may be expected before that, and the newest of two
// last.
TEST_P(Nccl, WhatIsExpectedStandsInNobodysWay) {
  if (size_ == 1) return;
  group_->open(ring("answer"));
  const Tensor got = tensor({kLong}, -1), more = tensor({kLong}, -1);
  Request received = group_->expect(got, before(), "answer");
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 64), cudaSuccess);
  ASSERT_EQ(cudaFree(memory), cudaSuccess);  // waits for all that the device has been asked for
  group_->barrier("all have waited");
  std::vector<Request> sent;
  const Tensor mine = slowly({kLong}, rank_), last = slowly({kLong}, rank_ + 0.5);
  for (const Tensor* tensor : {&mine, &last}) sent.push_back(group_->send(*tensor, next(), "answer"));
  received.wait();
  { const Request unwaited = group_->expect(more, before(), "answer"); }  // waited for by its end
  EXPECT_EQ(read(got), all(kLong, before()));
  EXPECT_EQ(read(more), all(kLong, before() + 0.5));
}

TEST_P(Nccl, ARouteThatIsNotOpenIsAnError) {
  const Tensor data = tensor({1});
  EXPECT_THROW(static_cast<void>(group_->send(data, next(), "never opened")), Error);
}

TEST_P(Nccl, Gathers) {
  for (int round = 0; round < kRounds; ++round) {
    const Tensor out = slowly({size_, kLong}, -1), piece = slowly({kLong}, rank_ + round);
    group_->all_gather(piece, out, "gather");
    for (int r = 0; r < size_; ++r) EXPECT_EQ(read(out.view()[r]), all(kLong, r + round));
    backend_->fill(out.view()[rank_], rank_ + 0.5);
    group_->all_gather(out.view()[rank_], out, "gather in place");
    for (int r = 0; r < size_; ++r) EXPECT_EQ(read(out.view()[r]), all(kLong, r + 0.5));
    EXPECT_THROW(group_->all_gather(piece, tensor({3}), "gather"), Error);
  }
}

TEST_P(Nccl, GathersUnevenRows) {
  std::vector<std::int64_t> counts;  // rank 0 has none
  for (int r = 0; r < size_; ++r) counts.push_back(r == 0 && size_ > 1 ? 0 : 200 * r + 1);
  const std::int64_t rows = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  const std::int64_t start = std::accumulate(counts.begin(), counts.begin() + rank_, std::int64_t{0});
  const std::int64_t own = counts[static_cast<std::size_t>(rank_)];
  for (const bool in_place : {false, true}) {
    const Tensor out = tensor({rows, 3}, -1), apart = slowly({own, 3}, rank_);
    const TensorView inside = out.view().slice(0, start, own);
    if (in_place) backend_->copy(apart, inside);
    group_->all_gather_rows(in_place ? inside : apart.view(), out, counts, "rows");
    std::int64_t row = 0;
    for (int r = 0; r < size_; ++r) {
      const std::int64_t count = counts[static_cast<std::size_t>(r)];
      EXPECT_EQ(read(out.view().slice(0, row, count)), all(3 * count, r));
      row += count;
    }
  }
}

TEST_P(Nccl, ExchangesPiecesOfAllWithAll) {
  for (int round = 0; round < kRounds; ++round) {
    const Tensor in = slowly({size_, kLong}, 0), out = slowly({size_, kLong}, -1);
    for (int r = 0; r < size_; ++r) backend_->fill(in.view()[r], 100 * rank_ + r + round);
    group_->all_to_all(in, out, "exchange");
    for (int r = 0; r < size_; ++r) EXPECT_EQ(read(out.view()[r]), all(kLong, 100 * r + rank_ + round));
  }
}

TEST_P(Nccl, BroadcastsAndAgreesOnHostValues) {
  const Tensor data = slowly({kLong}, rank_ + 1);
  group_->broadcast(data, size_ - 1, "broadcast");
  EXPECT_EQ(read(data), all(kLong, size_));
  EXPECT_EQ(group_->all_max(rank_, "max"), size_ - 1);
  EXPECT_EQ(group_->all_min(-rank_, "min"), -(size_ - 1));
  EXPECT_EQ(group_->broadcast(rank_ == 0 ? "deck" : "", 0, "text"), "deck");
}

// Two exchanges in the order of the ranks' own liking would wait for each other; as one they do not.
TEST_P(Nccl, ExchangeIsOneOperation) {
  const Tensor mine = slowly({kLong}, rank_), got = tensor({size_, kLong}, -1);
  std::vector<Message> incoming, outgoing;
  for (int r = 0; r < size_; ++r) {
    if (r == rank_) continue;
    incoming.push_back({got.view()[r], r});
    outgoing.push_back({mine, r});
  }
  Request request = group_->exchange(incoming, outgoing, "exchange");
  request.wait();
  backend_->fill(mine, -5);
  for (const Message& message : incoming) EXPECT_EQ(read(message.data), all(kLong, message.rank));
}

TEST_P(Nccl, SumsAreThoseOfTheTree) {
  constexpr int kLeaves = 4;
  const int local = kLeaves / size_;
  for (const std::int64_t rows : {std::int64_t{3}, std::int64_t{30000}}) {
    const Tensor partials = tensor({local, rows}), out = tensor({rows});
    for (int i = 0; i < local; ++i) backend_->fill(partials.view()[i], 0.1 * (rank_ * local + i + 1));
    ordered_all_reduce(*backend_, *group_, partials, kLeaves, out, "sum");
    const float expected = (0.1f + 0.2f) + (static_cast<float>(0.1 * 3) + 0.4f);
    EXPECT_EQ(read(out), all(rows, expected));
  }
}

TEST_P(Nccl, GroupsThatAreSplitOffHaveTheirOwnRanks) {
  const auto part = group_->split(rank_ % 2, -rank_, "parity");
  const Tensor data = slowly({kLong}, rank_);
  part->broadcast(data, 0, "the last one's");
  const int last = size_ - 1;
  EXPECT_EQ(read(data), all(kLong, size_ == 1 || last % 2 == rank_ % 2 ? last : last - 1));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Nccl, ::testing::Range<std::uint64_t>(1, 7));

}  // namespace
}  // namespace coxswain
