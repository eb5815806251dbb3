// Tensors that travel through memory of the host arrive as those that need not, in groups that were split off too.
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/backend.h"
#include "mpi_test.h"
#include "parallel/staged_communicator.h"

namespace coxswain {
namespace {

class Staged : public ::testing::Test {
 protected:
  static TensorView view_of(std::vector<float>& values, const Shape& shape) {
    return {values.data(), DType::f32, shape};
  }
  static float own() { return static_cast<float>(world().rank()); }

  const std::unique_ptr<Backend> backend_ = make_cpu_backend();
  const std::unique_ptr<Communicator> group_ = make_staged_communicator(world(), *backend_);
  const int size_ = group_->size();
};

TEST_F(Staged, MessagesGoRound) {
  const int next = (group_->rank() + 1) % size_, before = (group_->rank() + size_ - 1) % size_;
  std::vector<float> mine{own(), own() + 0.5f}, got(2), unwaited(2);
  {
    Request first = group_->receive(view_of(got, {2}), before, "round");
    const Request second = group_->receive(view_of(unwaited, {2}), before, "round");  // ends with its life
    Request sent = group_->send(view_of(mine, {2}), next, "round");
    mine = {-1, -1};  // it has been fetched
    const Request again = group_->send(view_of(mine, {2}), next, "round");
    first.wait();
    sent.wait();
  }
  EXPECT_EQ(got, (std::vector<float>{static_cast<float>(before), static_cast<float>(before) + 0.5f}));
  EXPECT_EQ(unwaited, (std::vector<float>{-1, -1}));
}

TEST_F(Staged, GathersAndExchanges) {
  std::vector<float> all(static_cast<std::size_t>(size_)), exchanged(all.size()), expected(all.size());
  std::iota(expected.begin(), expected.end(), 0.0f);
  all[static_cast<std::size_t>(group_->rank())] = own();
  const TensorView whole = view_of(all, {size_, 1});
  group_->all_gather(whole[group_->rank()], whole, "gather");
  EXPECT_EQ(all, expected);
  group_->all_gather_rows(whole.slice(0, group_->rank(), 1), whole,
                          std::vector<std::int64_t>(static_cast<std::size_t>(size_), 1), "rows");
  EXPECT_EQ(all, expected);
  std::vector<float> in(all.size(), own());
  group_->all_to_all(view_of(in, {size_, 1}), view_of(exchanged, {size_, 1}), "exchange");
  EXPECT_EQ(exchanged, expected);
}

TEST_F(Staged, GroupsThatAreSplitOffAreStagedToo) {
  const auto part = group_->split(group_->rank() % 2, group_->rank(), "parity");
  part->set_coordinates("somewhere");
  EXPECT_EQ(part->coordinates(), "somewhere");
  std::vector<float> value{own()};
  part->broadcast(view_of(value, {1}), 0, "first");
  EXPECT_EQ(value[0], static_cast<float>(group_->rank() % 2));
  EXPECT_EQ(part->all_max(group_->rank(), "last"), group_->rank() % 2 + 2 * (part->size() - 1));
}

}  // namespace
}  // namespace coxswain
