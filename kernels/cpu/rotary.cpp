// Rotary positions (Su et al., "RoFormer", eq. 34), pairs (i, i + d/2): the pair turns by position * base^(-2 i / d).
// Direction -1 turns back, which is the gradient.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {
namespace {

// Cosines and sines of positions 0, 1, ... for one base and head size: [position, cosines | sines, d/2].
class RotaryTable {
 public:
  RotaryTable(double base, std::int64_t half) : base_(base), half_(half) {}

  const double* cosines(std::int64_t position) const {
    return values_.data() + static_cast<std::size_t>(2 * half_ * position);
  }
  void reach(std::int64_t positions) {
    const auto known = static_cast<std::int64_t>(values_.size()) / (2 * half_);
    if (known >= positions) return;
    values_.resize(static_cast<std::size_t>(2 * half_ * std::max(positions, 2 * known)));
    const auto total = static_cast<std::int64_t>(values_.size()) / (2 * half_);
    for (std::int64_t position = known; position < total; ++position)
      for (std::int64_t i = 0; i < half_; ++i) {
        const double frequency = std::pow(base_, -static_cast<double>(i) / static_cast<double>(half_));
        double* row = values_.data() + 2 * half_ * position;
        row[i] = std::cos(static_cast<double>(position) * frequency);
        row[half_ + i] = std::sin(static_cast<double>(position) * frequency);
      }
  }

 private:
  double base_;
  std::int64_t half_;
  std::vector<double> values_;
};

// Kept, so that a settled step computes no cosine: it depends on nothing but base and head size.
RotaryTable& table_for(double base, std::int64_t half) {
  thread_local std::map<std::pair<double, std::int64_t>, RotaryTable> tables;
  return tables.try_emplace({base, half}, base, half).first->second;
}

template <class T>
void rotate(T* head, const double* cosines, std::int64_t half, double direction) {
  using R = Real<T>;
  const double* sines = cosines + half;
#pragma omp simd
  for (std::int64_t i = 0; i < half; ++i) {
    const R cosine = static_cast<R>(cosines[i]), sine = static_cast<R>(direction * sines[i]);
    const R first = load(head[i]), second = load(head[i + half]);
    put(head[i], multiply_add(first, cosine, -(second * sine)));
    put(head[i + half], multiply_add(second, cosine, first * sine));
  }
}

}  // namespace

void CpuBackend::do_rotary(TensorView heads, TensorView positions, double base, int direction) {
  const std::int64_t t = heads.shape[1], count = heads.shape[2], half = heads.shape[3] / 2;
  const std::int64_t tokens = heads.shape[0] * t;
  if (tokens == 0) return;
  const std::int32_t* position = positions.as<std::int32_t>();
  const auto [lowest, highest] = std::minmax_element(position, position + tokens);
  if (*lowest < 0) throw std::invalid_argument("rotary: position " + std::to_string(*lowest) + " is negative");
  RotaryTable& table = table_for(base, half);
  table.reach(*highest + std::int64_t{1});
  dispatch_type(heads.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* data = heads.as<T>();
#pragma omp parallel for schedule(static) if (tokens * count * half >= kParallelElements)
    for (std::int64_t token = 0; token < tokens; ++token) {
      T* row = data + token / t * heads.strides[0] + token % t * heads.strides[1];
      for (std::int64_t head = 0; head < count; ++head)
        rotate(row + head * heads.strides[2], table.cosines(position[token]), half, direction);
    }
  });
}

}  // namespace coxswain
