// Normal numbers by global index, see kernels/normal.h: computed in double and rounded once. Where strips begin at
// blocks of four numbers, a thread computes each of its blocks once. Floor: what is written through memory once; what
// is computed takes longer.
#include "kernels/cuda/strips.cuh"
#include "kernels/normal.h"

namespace coxswain {
namespace {

template <class T>
struct NormalElement {
  RandomKey key;
  double deviation;
  std::int64_t global_columns, first_row, first_column;
  Matrix<T> to;

  // Of several numbers the first one's index is a multiple of `width`, or of four.
  template <int width>
  __device__ void strip(std::int64_t r, std::int64_t c) const {
    constexpr int kEach = width < 4 ? width : 4;
    const auto index = static_cast<std::uint64_t>((first_row + r) * global_columns + first_column + c);
    Strip<T, width> values;
    COXSWAIN_UNROLL
    for (int first = 0; first < width; first += kEach) {
      const std::array<double, 4> numbers = normal_block(key, index / 4 + static_cast<unsigned>(first) / 4);
      const std::size_t place = width < 4 ? index % 4 : 0;
      COXSWAIN_UNROLL
      for (std::size_t i = 0; i < kEach; ++i)
        values[first + static_cast<int>(i)] = static_cast<Real<T>>(numbers[place + i] * deviation);
    }
    values.store(to[r] + c);
  }
};

}  // namespace

void CudaBackend::do_normal(const NormalFill& op) {
  dispatch_type(op.dst.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const bool of_blocks = op.global_columns % 4 == 0 && op.first_column % 4 == 0;
    strips<T>(
        stream(), op.dst.shape[0], op.dst.shape[1], of_blocks && rows_are_wide({op.dst}),
        NormalElement<T>{op.key, op.deviation, op.global_columns, op.first_row, op.first_column, Matrix<T>(op.dst)});
  });
}

}  // namespace coxswain
