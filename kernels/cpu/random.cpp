// Normal numbers by global index. Element e = row * global_columns + column of the global tensor takes number e mod 4
// of Philox block e / 4, whose words (w0, w1) give numbers 0 and 1 and (w2, w3) give numbers 2 and 3 by Box and Muller:
//   r = sqrt(-2 ln u(w0)), a = 2 pi u(w1), numbers r cos a and r sin a, u(w) = (w + 1/2) / 2^32 in (0, 1).
// It is computed in double and rounded once. The largest magnitude is 6.8 deviations.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"
#include "kernels/philox.h"

namespace coxswain {
namespace {

std::array<double, 4> normal_block(const RandomKey& key, std::uint64_t block) {
  const std::array<std::uint32_t, 4> words = philox(key, block);
  const auto uniform = [](std::uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; };
  std::array<double, 4> numbers;
  for (std::size_t pair = 0; pair < 4; pair += 2) {
    const double radius = std::sqrt(-2.0 * std::log(uniform(words[pair])));
    const double angle = 2.0 * std::numbers::pi * uniform(words[pair + 1]);
    numbers[pair] = radius * std::cos(angle);
    numbers[pair + 1] = radius * std::sin(angle);
  }
  return numbers;
}

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
