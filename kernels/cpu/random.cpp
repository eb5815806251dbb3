// Normal numbers by global index, see kernels/normal.h. They are computed in double and rounded once.
#include <algorithm>
#include <array>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"
#include "kernels/normal.h"

namespace coxswain {
namespace {

// count numbers from global index `first` on
template <class T>
void fill_run(const Backend::NormalFill& op, std::uint64_t first, std::int64_t count, T* to) {
  std::array<double, 4> numbers{};
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t index = first + static_cast<std::uint64_t>(i);
    if (i == 0 || index % 4 == 0) numbers = normal_block(op.key, index / 4);
    to[i] = store<T>(static_cast<Real<T>>(numbers[index % 4] * op.deviation));
  }
}

template <class T>
void fill_box(const Backend::NormalFill& op) {
  constexpr std::int64_t kRun = 4096;
  const std::int64_t rows = op.dst.shape[0], columns = op.dst.shape[1], runs = (columns + kRun - 1) / kRun;
  T* to = op.dst.as<T>();
#pragma omp parallel for schedule(static)
  for (std::int64_t index = 0; index < rows * runs; ++index) {
    const std::int64_t row = index / runs, column = index % runs * kRun;
    const std::int64_t first = (op.first_row + row) * op.global_columns + op.first_column + column;
    fill_run(op, static_cast<std::uint64_t>(first), std::min(kRun, columns - column),
             to + row * op.dst.strides[0] + column);
  }
}

}  // namespace

void CpuBackend::do_normal(const NormalFill& op) {
  dispatch_type(op.dst.dtype, [&](auto type) { fill_box<typename decltype(type)::type>(op); });
}

}  // namespace coxswain
