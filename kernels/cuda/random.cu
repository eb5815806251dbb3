// Normal numbers by global index, see kernels/normal.h: computed in double and rounded once.
#include "kernels/cuda/common.cuh"
#include "kernels/normal.h"

namespace coxswain {
namespace {

template <class T>
struct NormalElement {
  RandomKey key;
  double deviation;
  std::int64_t global_columns, first_row, first_column;
  Matrix<T> to;

  __device__ void operator()(std::int64_t r, std::int64_t c) const {
    const auto index = static_cast<std::uint64_t>((first_row + r) * global_columns + first_column + c);
    put(to[r][c], static_cast<Real<T>>(normal_block(key, index / 4)[index % 4] * deviation));
  }
};

}  // namespace

void CudaBackend::do_normal(const NormalFill& op) {
  dispatch_type(op.dst.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    elementwise(
        stream(), op.dst.shape[0], op.dst.shape[1],
        NormalElement<T>{op.key, op.deviation, op.global_columns, op.first_row, op.first_column, Matrix<T>(op.dst)});
  });
}

}  // namespace coxswain
