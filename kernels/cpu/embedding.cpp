// Rows of the embedding table, and their gradient. Only rows [first_row, first_row + rows) of the vocabulary are held.
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"

namespace coxswain {

void CpuBackend::do_embedding(TensorView tokens, TensorView table, std::int64_t first_row, TensorView y) {
  const std::int64_t count = y.shape[0], columns = y.shape[1], held = table.shape[0];
  const std::int32_t* token = tokens.as<std::int32_t>();
  dispatch_type(table.dtype, [&](auto table_type) {
    dispatch_type(y.dtype, [&](auto y_type) {
      using From = typename decltype(table_type)::type;
      using To = typename decltype(y_type)::type;
      const Rows<From> from(table);
      const Rows<To> to(y);
#pragma omp parallel for schedule(static) if (count * columns >= kParallelElements)
      for (std::int64_t r = 0; r < count; ++r) {
        const std::int64_t row = token[r] - first_row;
        if (row >= 0 && row < held) {
          convert_row(from[row], to[r], columns);
        } else {
          std::fill_n(to[r], columns, To{});
        }
      }
    });
  });
}

// A thread owns some columns and adds the tokens in their order: no atomics, one order on any number of threads.
void CpuBackend::do_embedding_gradient(TensorView tokens, TensorView dy, std::int64_t first_row, TensorView dtable) {
  constexpr std::int64_t kColumns = 64;
  const std::int64_t count = dy.shape[0], columns = dy.shape[1], held = dtable.shape[0];
  const std::int32_t* token = tokens.as<std::int32_t>();
  dispatch_type(dy.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Rows<T> from(dy);
    const Rows<Real<T>> to(dtable);
#pragma omp parallel for schedule(static) if (count * columns >= kParallelElements)
    for (std::int64_t first = 0; first < columns; first += kColumns) {
      const std::int64_t last = std::min(first + kColumns, columns);
      for (std::int64_t r = 0; r < count; ++r) {
        const std::int64_t row = token[r] - first_row;
        if (row < 0 || row >= held) continue;
        const T* gradient = from[r];
        Real<T>* sums = to[row];
#pragma omp simd
        for (std::int64_t c = first; c < last; ++c) sums[c] += load(gradient[c]);
      }
    }
  });
}

}  // namespace coxswain
