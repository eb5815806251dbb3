#include "parallel/tree_sum.h"

#include <string>
#include <utility>

#include "base/error.h"

namespace coxswain {

TreeSum::TreeSum(Backend& backend, int first, int local, int leaves)
    : backend_(&backend), first_(first), local_(local), leaves_(leaves) {
  if (first < 0 || local < 1 || first + local > leaves)
    throw Error(ExitCode::internal, "leaves " + std::to_string(first) + " + " + std::to_string(local) + " of " +
                                        std::to_string(leaves) + " cannot be summed");
}

void TreeSum::push(TensorView leaf) {
  if (complete()) throw Error(ExitCode::internal, "a leaf too many for a sum of " + std::to_string(local_));
  Partial newest;
  newest.node = {first_ + pushed_, first_ + pushed_ + 1};
  newest.sum = leaf;
  ++pushed_;
  while (!partials_.empty() && are_halves(partials_.back().node, newest.node, leaves_)) {
    Partial older = std::move(partials_.back());
    partials_.pop_back();
    // The last leaf's buffer collects; any other leaf leaves its buffer to the next one.
    const TensorView into = complete() ? leaf : older.sum;
    backend_->add(older.sum, newest.sum, into);
    older.node.last = newest.node.last;
    older.sum = into;
    if (complete()) older.owned.reset();
    newest = std::move(older);
  }
  if (!complete() && newest.sum.data == leaf.data) {
    const MemoryScope scope(*backend_, MemoryKind::gradients);
    newest.owned = Tensor(*backend_, leaf.dtype, leaf.shape);
    backend_->copy(leaf, newest.owned);
    newest.sum = newest.owned;
  }
  partials_.push_back(std::move(newest));
}

std::vector<NodeSum> TreeSum::sums() const {
  if (!complete())
    throw Error(ExitCode::internal,
                "a sum of " + std::to_string(local_) + " leaves has " + std::to_string(pushed_) + " so far");
  std::vector<NodeSum> sums;
  for (const Partial& partial : partials_) sums.push_back({partial.node, partial.sum});
  return sums;
}

void TreeSum::restart() {
  partials_.clear();
  pushed_ = 0;
}

}  // namespace coxswain
