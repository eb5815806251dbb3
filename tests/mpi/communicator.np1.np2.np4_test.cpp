// The MPI communicator: everything arrives where it should, in place and with uneven pieces too.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "mpi_test.h"
#include "parallel/mpi_support.h"

namespace coxswain {
namespace {

TensorView view_of(std::vector<float>& values, const Shape& shape) { return {values.data(), DType::f32, shape}; }
TensorView view_of(std::vector<float>& values) { return view_of(values, {static_cast<std::int64_t>(values.size())}); }

TEST(Communicator, MessagesOfOneNameKeepTheirOrderAndOthersDoNotWaitForThem) {
  const int next = (world().rank() + 1) % world().size();
  const int before = (world().rank() + world().size() - 1) % world().size();
  std::vector<float> a{1.0f + static_cast<float>(world().rank())}, b{100.0f}, c{-1.0f}, got(3);
  std::vector<Request> requests;
  requests.push_back(world().send(view_of(a), next, "activation"));
  requests.push_back(world().send(view_of(b), next, "activation"));
  requests.push_back(world().send(view_of(c), next, "gradient"));
  const TensorView into = view_of(got);
  world().receive(into.slice(0, 2, 1), before, "gradient").wait();
  world().receive(into.slice(0, 0, 1), before, "activation").wait();
  world().receive(into.slice(0, 1, 1), before, "activation").wait();
  EXPECT_EQ(got, (std::vector<float>{1.0f + static_cast<float>(before), 100.0f, -1.0f}));
}

TEST(Communicator, GathersPieces) {
  const int size = world().size();
  std::vector<float> piece{world().rank() + 0.5f, world().rank() + 0.25f}, all(2 * static_cast<std::size_t>(size));
  world().all_gather(view_of(piece), view_of(all, {size, 2}), "gather");
  std::vector<float> in_place(all.size(), -1.0f);
  const TensorView whole = view_of(in_place, {size, 2});
  std::copy(piece.begin(), piece.end(), whole[world().rank()].as<float>());
  world().all_gather(whole[world().rank()], whole, "gather in place");
  for (int r = 0; r < size; ++r) EXPECT_EQ(all[static_cast<std::size_t>(2 * r + 1)], r + 0.25f);
  EXPECT_EQ(in_place, all);
  std::vector<float> short_result(1);
  EXPECT_THROW(world().all_gather(view_of(piece), view_of(short_result), "gather"), Error);
}

TEST(Communicator, GathersUnevenRows) {
  const int size = world().size();
  std::vector<std::int64_t> counts;  // rank 0 has none
  for (int r = 0; r < size; ++r) counts.push_back(r == 0 && size > 1 ? 0 : 2 * r + 1);
  const std::int64_t rows = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  const auto me = static_cast<std::size_t>(world().rank());
  const std::int64_t start = std::accumulate(counts.begin(), counts.begin() + world().rank(), std::int64_t{0});
  std::vector<float> piece(static_cast<std::size_t>(counts[me] * 3)), all(static_cast<std::size_t>(rows * 3), -1.0f);
  for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<float>(start * 3) + static_cast<float>(i);
  world().all_gather_rows(view_of(piece, {counts[me], 3}), view_of(all, {rows, 3}), counts, "gather rows");
  std::vector<float> in_place(all.size(), -1.0f);
  const TensorView whole = view_of(in_place, {rows, 3});
  std::copy(piece.begin(), piece.end(), in_place.begin() + start * 3);
  world().all_gather_rows(whole.slice(0, start, counts[me]), whole, counts, "gather rows in place");
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<float>(i));
  EXPECT_EQ(in_place, all);
}

TEST(Communicator, ExchangesPiecesOfAllWithAll) {
  const int size = world().size();
  std::vector<float> in(static_cast<std::size_t>(size)), out(in.size());
  for (int r = 0; r < size; ++r) in[static_cast<std::size_t>(r)] = static_cast<float>(100 * world().rank() + r);
  world().all_to_all(view_of(in), view_of(out), "exchange");
  for (int r = 0; r < size; ++r)
    EXPECT_EQ(out[static_cast<std::size_t>(r)], static_cast<float>(100 * r + world().rank()));
}

TEST(Communicator, BroadcastsAndAgreesOnHostValues) {
  const int last = world().size() - 1;
  std::vector<float> values(3, static_cast<float>(world().rank()));
  world().broadcast(view_of(values), last, "broadcast");
  EXPECT_EQ(values, std::vector<float>(3, static_cast<float>(last)));
  EXPECT_EQ(world().all_max(-world().rank(), "max"), 0);
  EXPECT_EQ(world().all_min(-world().rank(), "min"), -last);
  std::vector<double> merged(static_cast<std::size_t>(world().size()), 0.0);
  merged[static_cast<std::size_t>(world().rank())] = 0.1 * (world().rank() + 1);
  world().all_merge(merged, "merge");
  for (int r = 0; r <= last; ++r) EXPECT_EQ(merged[static_cast<std::size_t>(r)], 0.1 * (r + 1));
  std::vector<double> negative_zero{world().rank() == 0 ? -0.0
                                                        : 0.0};  // the sign must not tell how many ranks there are
  world().all_merge(negative_zero, "merge");
  EXPECT_FALSE(std::signbit(negative_zero[0]));
  EXPECT_EQ(world().broadcast(world().rank() == 0 ? "deck" : "", 0, "text"), "deck");
  const auto texts = world().all_gather(std::string(static_cast<std::size_t>(world().rank()), 'x'), "texts");
  ASSERT_EQ(texts.size(), static_cast<std::size_t>(world().size()));
  for (int r = 0; r <= last; ++r)
    EXPECT_EQ(texts[static_cast<std::size_t>(r)], std::string(static_cast<std::size_t>(r), 'x'));
}

TEST(Communicator, GroupsHaveTheirOwnRanksAndTakeTheHookOver) {
  std::vector<std::pair<std::string, bool>> seen;
  world().set_hook([&](const char* name, bool entering) { seen.emplace_back(name, entering); });
  const auto group = world().split(world().rank() % 2, -world().rank(), "odd and even");
  world().set_hook({});
  const int parity = world().rank() % 2;
  const int members = (world().size() + 1 - parity) / 2;
  EXPECT_EQ(group->size(), members);
  EXPECT_EQ(group->rank(), members - 1 - world().rank() / 2);  // by falling world rank
  EXPECT_EQ(group->all_max(world().rank() % 2, "parity"), parity);
  const std::vector<std::pair<std::string, bool>> expected = {
      {"odd and even", true}, {"odd and even", false}, {"parity", true}, {"parity", false}};
  EXPECT_EQ(seen, expected);
}

// A message too long for an int is one element of a made type; here anything above 5 bytes is too long.
TEST(Communicator, LongMessagesArriveWhole) {
  const std::string text = "tensors of more than two gibibytes";
  const MessageType type(text.size(), 5);
  EXPECT_EQ(type.count(), 1);
  MPI_Count bytes = 0;
  MPI_Type_size_x(type.type(), &bytes);
  EXPECT_EQ(static_cast<std::size_t>(bytes), text.size());
  std::string copy = world().rank() == 0 ? text : std::string(text.size(), '.');
  MPI_Bcast(copy.data(), type.count(), type.type(), 0, MPI_COMM_WORLD);
  EXPECT_EQ(copy, text);
}

TEST(Communicator, AMessageThatDoesNotFitIsAnErrorThatNamesTheOperation) {
  std::vector<float> two(2), one(1);
  const Request sent = world().send(view_of(two), world().rank(), "too long");
  Request request = world().receive(view_of(one), world().rank(), "too long");
  try {
    request.wait();
    ADD_FAILURE() << "two values fitted into one";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::internal);
    EXPECT_FALSE(error.everywhere());
    EXPECT_NE(std::string(error.what()).find("MPI_Wait failed in 'too long'"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace coxswain
