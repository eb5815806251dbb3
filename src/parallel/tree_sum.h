// The ordered tree's sum of one rank's leaves that come one after the other, in one buffer: gradients of data shards.
//
// A leaf completes subtrees as a binary counter carries: at most log2(leaves) + 1 partial sums are held. The buffer of
// the last leaf takes part as it is, so a rank with one leaf copies and allocates nothing, and a rank whose leaves form
// one node finds the sum in the buffer.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/backend.h"
#include "parallel/ordered_reduce.h"
#include "tensor/tensor.h"

namespace coxswain {

class TreeSum {
 public:
  // This rank's leaves are [first, first + local) of `leaves`.
  TreeSum(Backend& backend, int first, int local, int leaves);

  // The next leaf, dense, all of one shape. Afterwards the buffer may be used for the next leaf (clear it: parameter
  // gradients accumulate); after the last one it must live, untouched, until the sums were used.
  void push(TensorView leaf);
  bool complete() const { return pushed_ == local_; }

  // One sum for each covering node, for ordered_reduce. Views into memory held here and into the last leaf's buffer.
  std::vector<NodeSum> sums() const;
  void restart();  // gives the memory back, to the backend's pool

 private:
  struct Partial {
    TreeNode node;
    Tensor owned;  // empty for the last leaf
    TensorView sum;
  };

  Backend* backend_;
  int first_, local_, leaves_;
  int pushed_ = 0;
  std::vector<Partial> partials_;
};

}  // namespace coxswain
