// Sums across ranks equal the tree that one rank adds up by hand, bit for bit, for any number of leaves a rank.
#include "parallel/ordered_reduce.h"
#include "parallel/row_scatter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "late_communicator.h"
#include "mpi_test.h"
#include "parallel/tree_sum.h"
#include "tensor/tensor.h"

namespace coxswain {
namespace {

// Numbers of very different sizes: another order of adding them gives other bits.
template <class T>
std::vector<T> leaf_values(int leaf, std::size_t count) {
  std::vector<T> values(count);
  std::uint32_t bits = static_cast<std::uint32_t>(leaf + 1) * 2654435761u;
  for (T& value : values) {
    bits ^= bits << 13;  // xorshift of Marsaglia, 2003
    bits ^= bits >> 17;
    bits ^= bits << 5;
    const auto size = static_cast<float>(1u << (bits % 8u));
    value = T((static_cast<float>(bits >> 8) / 8388608.0f - 1.0f) * size);
  }
  return values;
}

// The definition, in plain arithmetic: a node is the sum of its left and its right half, the left the larger one.
template <class T>
std::vector<T> serial_tree(int first, int last, std::size_t count) {
  if (last - first == 1) return leaf_values<T>(first, count);
  const int half = first + (last - first + 1) / 2;
  std::vector<T> left = serial_tree<T>(first, half, count);
  const std::vector<T> right = serial_tree<T>(half, last, count);
  for (std::size_t i = 0; i < count; ++i) left[i] = T(static_cast<float>(left[i]) + static_cast<float>(right[i]));
  return left;
}

class Bench {
 public:
  Bench() : backend_(make_cpu_backend()) {}
  Backend& backend() { return *backend_; }

  template <class T>
  Tensor leaves(int leaves, const Shape& shape) {
    const int local = leaves / world().size();
    Shape all{local};
    for (int dim = 0; dim < shape.rank(); ++dim) all.append(shape[dim]);
    Tensor partials(*backend_, dtype_of<T>(), all);
    for (int i = 0; i < local; ++i) {
      const auto values = leaf_values<T>(world().rank() * local + i, static_cast<std::size_t>(shape.elements()));
      backend_->upload(values.data(), partials[i]);
    }
    return partials;
  }

  template <class T>
  void expect_rows(const std::vector<T>& expected, std::int64_t start, TensorView got, const std::string& what) {
    std::vector<T> values(static_cast<std::size_t>(got.elements()));
    backend_->download(got, values.data());
    ASSERT_LE(static_cast<std::size_t>(start) + values.size(), expected.size());
    EXPECT_EQ(0, values.empty() ? 0 : std::memcmp(values.data(), expected.data() + start, values.size() * sizeof(T)))
        << what << " on rank " << world().rank();
  }

 private:
  std::unique_ptr<Backend> backend_;
};

template <class T>
void compare_all_ways(int leaves, const Shape& shape) {
  Bench bench;
  const int size = world().size();
  const int rank = world().rank();
  const std::string what = std::to_string(leaves) + " leaves of " + name_of(dtype_of<T>()) + " " + shape.str();
  const std::int64_t row = shape.without_first().elements();
  const auto expected = serial_tree<T>(0, leaves, static_cast<std::size_t>(shape.elements()));

  Tensor out(bench.backend(), dtype_of<T>(), shape);
  {
    const Tensor partials = bench.leaves<T>(leaves, shape);
    ordered_all_reduce(bench.backend(), world(), partials, leaves, out, "all-reduce");
    bench.expect_rows(expected, 0, out, "all-reduce, " + what);
  }
  {
    const Tensor partials = bench.leaves<T>(leaves, shape);
    ordered_all_reduce(bench.backend(), world(), partials, leaves, partials[0], "all-reduce");
    bench.expect_rows(expected, 0, partials[0], "all-reduce in place, " + what);
  }
  for (const bool in_steps : {false, true}) {
    if (shape[0] % size != 0 || shape.rank() < 2) continue;
    const Tensor partials = bench.leaves<T>(leaves, shape);
    const std::int64_t rows = shape[0] / size;
    RowScatter scatter(bench.backend(), world(), partials, leaves, "scatter");
    for (int step = 1; step <= size && in_steps; ++step) scatter.send(step % size, step % size + 1);
    if (!in_steps) scatter.send(0, size);
    scatter.finish(out.view().slice(0, 0, rows));
    bench.expect_rows(expected, rank * rows * row, out.view().slice(0, 0, rows), "scatter of rows, " + what);
  }
  // Rank r wants more rows than rank r - 1; rank 0 none where there are others. Into the rows of its own last partial.
  const Tensor partials = bench.leaves<T>(leaves, shape);
  std::vector<std::int64_t> starts;
  for (int r = 0; r <= size; ++r) starts.push_back(shape[0] * r * r / (size * size));
  const std::int64_t start = starts[static_cast<std::size_t>(rank)];
  const std::int64_t rows = starts[static_cast<std::size_t>(rank) + 1] - start;
  const TensorView own = partials[leaves / size - 1].slice(0, start, rows);
  ordered_reduce_scatter_rows(bench.backend(), world(), partials, leaves, starts, own, "scatter rows");
  bench.expect_rows(expected, start * row, own, "reduce-scatter of uneven rows, " + what);
}

TEST(OrderedReduce, EqualsTheSerialTreeBitForBit) {
  for (const int leaves_a_rank : {1, 2, 3, 5}) {
    const int leaves = leaves_a_rank * world().size();
    for (const Shape& shape : {Shape{1}, Shape{5, 3}, Shape{24, 16}, Shape{48, 701}}) {
      compare_all_ways<float>(leaves, shape);
      compare_all_ways<bf16>(leaves, shape);
    }
  }
}

// The numbers above would not notice a wrong order if any order gave the same bits.
TEST(OrderedReduce, AnotherOrderGivesOtherBits) {
  std::vector<float> in_turn = leaf_values<float>(0, 100);
  for (int leaf = 1; leaf < 8; ++leaf) {
    const auto values = leaf_values<float>(leaf, 100);
    for (std::size_t i = 0; i < 100; ++i) in_turn[i] += values[i];
  }
  EXPECT_NE(in_turn, serial_tree<float>(0, 8, 100));
}

// Above 32 MiB in flight the rows go in turns.
TEST(OrderedReduce, LongRowsGoInTurns) {
  if (world().size() != 2) GTEST_SKIP() << "two ranks are enough";
  compare_all_ways<float>(2, {9'000'001});
}

TEST(OrderedReduce, SettledStepsAllocateNothing) {
  Bench bench;
  const int leaves = 2 * world().size();
  Tensor out(bench.backend(), DType::f32, {1000, 100});
  std::size_t reserved = 0;
  for (int step = 0; step < 3; ++step) {
    const Tensor partials = bench.leaves<float>(leaves, {1000, 100});
    ordered_all_reduce(bench.backend(), world(), partials, leaves, out, "all-reduce");
    if (step > 0) {
      EXPECT_EQ(bench.backend().memory().reserved, reserved);
    }
    reserved = bench.backend().memory().reserved;
  }
}

// Data shards: leaves come one after the other in one buffer.
TEST(OrderedReduce, TakesTheSumsOfATreeSum) {
  Bench bench;
  const Shape shape{40, 25};
  for (const int local : {1, 2, 3, 4, 6}) {
    const int leaves = local * world().size();
    const int first = local * world().rank();
    const auto expected = serial_tree<float>(0, leaves, 1000);
    std::vector<std::int64_t> starts;
    for (int r = 0; r <= world().size(); ++r) starts.push_back(40 * r / world().size());
    const std::int64_t start = starts[static_cast<std::size_t>(world().rank())];
    const std::int64_t rows = starts[static_cast<std::size_t>(world().rank()) + 1] - start;
    Tensor gradient(bench.backend(), DType::f32, shape);
    TreeSum sum(bench.backend(), first, local, leaves);
    for (int step = 0; step < 2; ++step) {
      sum.restart();
      for (int i = 0; i < local; ++i) {
        bench.backend().upload(leaf_values<float>(first + i, 1000).data(), gradient);
        sum.push(gradient);
      }
      const TensorView own = gradient.view().slice(0, start, rows);
      ordered_reduce_scatter_rows(bench.backend(), world(), sum.sums(), leaves, starts, own, "gradients");
      bench.expect_rows(expected, start * 25, own, std::to_string(local) + " shards a rank");
    }
  }
}

// Sums that go on one after the other beside other work, with messages that come late, in one scratch.
TEST(OrderedReduce, SumsInPiecesAreTheSame) {
  Bench bench;
  LateCommunicator late(world());
  const int size = world().size(), rank = world().rank(), leaves = 2 * size;
  std::vector<Tensor> partials;
  std::vector<std::vector<std::int64_t>> starts;
  std::int64_t elements = 0;
  for (const int rows : {40, 7, 1, 301}) {
    partials.push_back(bench.leaves<float>(leaves, {rows}));
    starts.emplace_back();
    for (int r = 0; r <= size; ++r) starts.back().push_back(rows * r / size);
    elements = std::max(elements, ScatteredSum::scratch_elements(late, leaves, starts.back()));
  }
  const Tensor scratch(bench.backend(), DType::f32, {elements});
  std::deque<ScatteredSum> under_way;
  const auto me = static_cast<std::size_t>(rank);
  const auto own = [&](std::size_t i) {
    return partials[i][1].slice(0, starts[i][me], starts[i][me + 1] - starts[i][me]);
  };
  for (std::size_t i = 0; i < partials.size(); ++i) {
    std::vector<NodeSum> sums;
    for (const TreeNode node : reduce_local(bench.backend(), partials[i], 2 * rank, leaves))
      sums.push_back({node, partials[i][node.first - 2 * rank]});
    under_way.emplace_back(bench.backend(), late, sums, leaves, ScatteredSum::Rows{starts[i], own(i)}, scratch.view(),
                           "pieces");
    for (int times = 0; times < 3 * rank && !under_way.empty(); ++times)
      if (under_way.front().advance(false)) under_way.pop_front();
  }
  while (!under_way.empty()) {
    EXPECT_TRUE(under_way.front().advance(true));
    under_way.pop_front();
  }
  for (std::size_t i = 0; i < partials.size(); ++i) {
    const auto expected = serial_tree<float>(0, leaves, static_cast<std::size_t>(starts[i].back()));
    bench.expect_rows(expected, starts[i][me], own(i), "sum " + std::to_string(i));
  }
  if (size > 1) {
    const ScatteredSum::Rows rows{starts[0], own(0)};
    EXPECT_THROW(ScatteredSum(bench.backend(), late, {}, leaves, rows, TensorView(), "pieces"), Error);
  }
}

TEST(OrderedReduce, RefusesWhatDoesNotFit) {
  Bench bench;
  const Tensor partials = bench.leaves<float>(world().size(), {8, 3});
  const Tensor out(bench.backend(), DType::f32, {7, 3});
  EXPECT_THROW(ordered_all_reduce(bench.backend(), world(), partials, world().size(), out, "sum"), Error);
  EXPECT_THROW(ordered_all_reduce(bench.backend(), world(), partials, 2 * world().size(), out, "sum"), Error);
  const std::vector<std::int64_t> starts(static_cast<std::size_t>(world().size()) + 1, 0);
  EXPECT_THROW(ordered_reduce_scatter_rows(bench.backend(), world(), partials, world().size(), starts, out, "sum"),
               Error);
}

}  // namespace
}  // namespace coxswain
