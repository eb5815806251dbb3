// An ordered sum whose rows are scattered over the ranks in equal runs, and leave as soon as they are computed, beside
// the computation of others. The tree is ordered_reduce's, and so are the bits (Law 1).
//
// In step s a rank's sums of the rows of the rank s further on leave for it, and the rank s behind sends what it has of
// the own ones, so that every step loads each rank's way out and way in once. Step 0 are the own rows.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "parallel/ordered_reduce.h"
#include "tensor/tensor.h"

namespace coxswain {

class RowScatter {
 public:
  // partials [leaves / size, rows, ...], dense: this rank's leaves. They are overwritten, and must live, as `name`,
  // until this object is gone.
  RowScatter(Backend& backend, Communicator& group, TensorView partials, int leaves, const char* name);
  RowScatter(const RowScatter&) = delete;
  RowScatter& operator=(const RowScatter&) = delete;

  // The partials of the rows of these steps [first, last) are there: they go to whom they belong, as one operation.
  // Every rank calls it with the same steps, each step once.
  void send(int first, int last);
  // All steps were sent. out [rows / size, ...]: the own rows of the whole sum.
  void finish(TensorView out);

 private:
  TensorView rows_of(int rank, TensorView partials) const;

  Backend& backend_;
  Communicator& group_;
  TensorView partials_;
  int leaves_;
  const char* name_;
  std::vector<TreeNode> nodes_;      // of all ranks, left to right
  std::vector<std::size_t> begins_;  // rank r holds nodes [begins[r], begins[r + 1])
  std::vector<TensorView> pieces_;   // the own rows of every node
  Tensor arriving_;                  // of the other ranks' nodes
  std::vector<Request> under_way_;   // end before their memory does
};

}  // namespace coxswain
