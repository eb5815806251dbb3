// The tree that all sums across shards follow, and sums that grow leaf by leaf.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "parallel/ordered_reduce.h"
#include "parallel/tree_sum.h"
#include "tensor/tensor.h"

namespace coxswain {
namespace {

std::string text_of(const std::vector<TreeNode>& nodes) {
  std::string text;
  for (const TreeNode node : nodes) text += std::to_string(node.first) + "-" + std::to_string(node.last) + " ";
  return text;
}

TEST(OrderedTree, CoversRunsOfLeavesWithTheLargestNodes) {
  EXPECT_EQ(text_of(covering_nodes(0, 8, 8)), "0-8 ");
  EXPECT_EQ(text_of(covering_nodes(4, 6, 8)), "4-6 ");
  EXPECT_EQ(text_of(covering_nodes(1, 7, 8)), "1-2 2-4 4-6 6-7 ");
  // Six leaves: (0 1) 2 | (3 4) 5. Two ranks hold a node each, the middle one of three ranks two leaves.
  EXPECT_EQ(text_of(covering_nodes(0, 3, 6)), "0-3 ");
  EXPECT_EQ(text_of(covering_nodes(0, 2, 6)), "0-2 ");
  EXPECT_EQ(text_of(covering_nodes(2, 4, 6)), "2-3 3-4 ");
  EXPECT_EQ(text_of(covering_nodes(4, 6, 6)), "4-5 5-6 ");
  EXPECT_EQ(text_of(covering_nodes(0, 1, 1)), "0-1 ");
}

TEST(OrderedTree, KnowsHalvesOfANode) {
  EXPECT_TRUE(are_halves({0, 2}, {2, 3}, 6));
  EXPECT_TRUE(are_halves({0, 3}, {3, 6}, 6));
  EXPECT_TRUE(are_halves({3, 4}, {4, 5}, 6));
  EXPECT_FALSE(are_halves({1, 2}, {2, 3}, 6));
  EXPECT_FALSE(are_halves({2, 3}, {3, 4}, 6));
  EXPECT_FALSE(are_halves({0, 2}, {2, 4}, 6));
  EXPECT_FALSE(are_halves({0, 1}, {2, 3}, 6));
}

// Each leaf's only element; sums of these depend on their order.
float value_of(int leaf) { return 1.0f / static_cast<float>(3 + leaf) * static_cast<float>(1 << (leaf * 5 % 17)); }

float serial_tree(int first, int last) {
  if (last - first == 1) return value_of(first);
  const int half = first + (last - first + 1) / 2;
  return serial_tree(first, half) + serial_tree(half, last);
}

float read(Backend& backend, TensorView view) {
  float value = 0;
  backend.download(view, &value);
  return value;
}

TEST(TreeSum, HoldsTheCoveringNodesForAnyRunOfLeaves) {
  const auto backend = make_cpu_backend();
  for (int leaves = 1; leaves <= 12; ++leaves)
    for (int first = 0; first < leaves; ++first)
      for (int local = 1; first + local <= leaves; ++local) {
        SCOPED_TRACE(testing::Message() << "leaves " << first << " + " << local << " of " << leaves);
        const Tensor buffer(*backend, DType::f32, {1});
        TreeSum sum(*backend, first, local, leaves);
        for (int leaf = first; leaf < first + local; ++leaf) {
          backend->fill(buffer, value_of(leaf));
          sum.push(buffer);
        }
        const auto nodes = covering_nodes(first, first + local, leaves);
        const auto sums = sum.sums();
        ASSERT_EQ(sums.size(), nodes.size());
        for (std::size_t i = 0; i < nodes.size(); ++i) {
          EXPECT_EQ(sums[i].node, nodes[i]);
          EXPECT_EQ(read(*backend, sums[i].sum), serial_tree(nodes[i].first, nodes[i].last));
        }
        EXPECT_EQ(sums.back().sum.data, buffer.view().data);  // the last leaf's buffer collects
      }
}

TEST(TreeSum, ReducesLikePartialsThatAreAllThere) {
  const auto backend = make_cpu_backend();
  for (const auto& [first, local, leaves] : {std::tuple{0, 6, 6}, {2, 2, 6}, {3, 6, 9}, {1, 10, 12}}) {
    const Tensor partials(*backend, DType::f32, {local, 1});
    for (int i = 0; i < local; ++i) backend->fill(partials[i], value_of(first + i));
    const auto nodes = reduce_local(*backend, partials, first, leaves);
    EXPECT_EQ(nodes, covering_nodes(first, first + local, leaves));
    for (const TreeNode node : nodes)
      EXPECT_EQ(read(*backend, partials[node.first - first]), serial_tree(node.first, node.last));
  }
}

TEST(TreeSum, OneLeafTakesNoMemoryAndManyTakeTheLogarithm) {
  const auto backend = make_cpu_backend();
  const Tensor buffer(*backend, DType::f32, {1000});
  backend->fill(buffer, 1.0);
  backend->reset_peak();
  const std::size_t before = backend->memory().in_use;
  TreeSum one(*backend, 3, 1, 8);
  one.push(buffer);
  EXPECT_EQ(one.sums()[0].sum.data, buffer.view().data);
  EXPECT_EQ(backend->memory().peak, before);
  TreeSum many(*backend, 0, 16, 16);
  for (int leaf = 0; leaf < 16; ++leaf) many.push(buffer);
  EXPECT_LE(backend->memory().peak, before + 4 * before);
  EXPECT_EQ(backend->memory().in_use, before);  // one node is left: the sum, in the buffer
}

TEST(TreeSum, RefusesTooManyLeavesAndTooFew) {
  const auto backend = make_cpu_backend();
  const Tensor buffer(*backend, DType::f32, {1});
  TreeSum sum(*backend, 0, 2, 2);
  sum.push(buffer);
  EXPECT_THROW(sum.sums(), Error);
  sum.push(buffer);
  EXPECT_THROW(sum.push(buffer), Error);
  sum.restart();
  EXPECT_NO_THROW(sum.push(buffer));
  EXPECT_THROW(TreeSum(*backend, 1, 2, 2), Error);
}

// A plan runs the same code: it takes the same memory and waits for nobody.
TEST(OrderedReduce, APlannedGroupNeedsOnlyItsMemory) {
  const auto backend = make_counting_backend();
  const auto group = make_planned_communicator(1, 4);
  const Tensor partials(*backend, DType::f32, {1, 40000});
  const Tensor out(*backend, DType::f32, {40000});
  backend->reset_peak();
  const std::size_t before = backend->memory().in_use;
  ordered_all_reduce(*backend, *group, partials, 4, out, "plan");
  EXPECT_EQ(backend->memory().peak - before, 3 * 10000 * sizeof(float));  // the own quarter from each of the others
}

}  // namespace
}  // namespace coxswain
