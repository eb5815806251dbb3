// Sums in one fixed binary tree, whatever the number of ranks (Law 1).
//
// A tree over n leaves splits [first, last) at first + ceil((last - first) / 2) until single leaves are left. Every
// rank holds a run of consecutive leaves, adds up the largest subtrees that lie in its run, exchanges those, and
// finishes the tree: with as many ranks as leaves this has the volume of a ring reduction.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"

namespace coxswain {

// Half-open range of leaves that is a node of the tree.
struct TreeNode {
  int first = 0, last = 0;
  friend bool operator==(const TreeNode&, const TreeNode&) = default;
};
// Where a node of more than one leaf is split.
inline int middle(TreeNode node) { return node.first + (node.last - node.first + 1) / 2; }
// Whether `left` and `right` are the two halves of one node of the tree over `leaves`.
bool are_halves(TreeNode left, TreeNode right, int leaves);
// The largest nodes of the tree over `leaves` that tile [first, last), left to right.
std::vector<TreeNode> covering_nodes(int first, int last, int leaves);

// Adds up partials in tree order inside one rank. partials [local, ...] hold leaves [first, first + local) of `leaves`;
// afterwards partials[node.first - first] holds the sum of each covering node. Returns those nodes.
std::vector<TreeNode> reduce_local(Backend& backend, TensorView partials, int first, int leaves);
// The tree's sum of the pieces of nodes that tile it, left to right, all of one shape; they are overwritten. `out` may
// be one of them.
void sum_pieces(Backend& backend, int leaves, const std::vector<TreeNode>& nodes, const std::vector<TensorView>& pieces,
                TensorView out);

// ---- collective over the group, whose ranks hold leaves / size consecutive leaves each. `out` may be memory of the
// partials: the own rows of one of them (reduce and scatter), or one of them (all-reduce). The partials are
// overwritten.

// partials [local, rows, ...]: leaves of this rank. out: rows [starts[r], starts[r + 1]) of the whole sum on rank r.
// For equal runs of rows that leave while others are computed see row_scatter.h.
void ordered_reduce_scatter_rows(Backend& backend, Communicator& group, TensorView partials, int leaves,
                                 const std::vector<std::int64_t>& starts, TensorView out, const char* name);
// out [...]: the whole sum on every rank.
void ordered_all_reduce(Backend& backend, Communicator& group, TensorView partials, int leaves, TensorView out,
                        const char* name);

// The same for partials that were added up before (by reduce_local or a TreeSum): one sum for each covering node.
struct NodeSum {
  TreeNode node;
  TensorView sum;  // [rows, ...]
};
void ordered_reduce_scatter_rows(Backend& backend, Communicator& group, const std::vector<NodeSum>& sums, int leaves,
                                 const std::vector<std::int64_t>& starts, TensorView out, const char* name);
void ordered_all_reduce(Backend& backend, Communicator& group, const std::vector<NodeSum>& sums, int leaves,
                        TensorView out, const char* name);

class TreeExchange;

// ordered_reduce_scatter_rows in pieces, beside other work. Several go on one after the other, on every rank in the
// same order, and may share their scratch.
class ScatteredSum {
 public:
  struct Rows {
    const std::vector<std::int64_t>& starts;  // as above
    TensorView out;
  };
  // All that the views show, and `name`, must live until it has ended.
  ScatteredSum(Backend& backend, Communicator& group, const std::vector<NodeSum>& sums, int leaves, const Rows& rows,
               TensorView scratch, const char* name);
  ScatteredSum(ScatteredSum&&) noexcept;
  ScatteredSum& operator=(ScatteredSum&&) noexcept;
  ~ScatteredSum();

  // Goes on as far as it can without waiting, or to the end. True if it has ended.
  bool advance(bool wait);

  // How long the scratch has to be, f32 [elements], for sums f32 [rows]. In turns it takes 32 MiB at most.
  static std::int64_t scratch_elements(const Communicator& group, int leaves, const std::vector<std::int64_t>& starts);

 private:
  std::unique_ptr<TreeExchange> exchange_;
  TensorView scratch_;
};

}  // namespace coxswain
