// Sums over rows: totals[c] += sum over r of term(r, c); several sums of the same operands at once. Floor: the operands
// through memory once.
//
// One order, which follows from the number of rows alone: blocks of rows (64 or more, so that there are 64 blocks at
// most), in each eight lanes that take every eighth row and are joined in turn, then block after block. A thread has
// sixteen bytes of a row where all rows allow it, else one element: a column's sum has the same bits.
#pragma once

#include <array>

#include "kernels/cuda/strips.cuh"

namespace coxswain {

inline constexpr int kSumLanes = 8;

// Term: T, the narrowest type of its operands; kSums; add<width>(row, column, sums), which adds to kSums strips.
template <int width, class Term>
__global__ void __launch_bounds__(kWarp* kSumLanes)
    column_sums_kernel(Term term, std::int64_t rows, std::int64_t rows_in_block, std::int64_t columns,
                       Real<typename Term::T>* partial) {
  using R = Real<typename Term::T>;
  constexpr int kValues = Term::kSums * width, kThreadsInAll = kWarp * kSumLanes;
  COXSWAIN_SHARED(R, lanes, kValues * kThreadsInAll);
  const std::int64_t column = (std::int64_t{blockIdx.x} * kWarp + threadIdx.x) * width;
  const std::int64_t first = std::int64_t{blockIdx.y} * rows_in_block;
  const std::int64_t last = first + rows_in_block < rows ? first + rows_in_block : rows;
  Strip<R, width> sums[Term::kSums];
  COXSWAIN_UNROLL
  for (int i = 0; i < kValues; ++i) sums[i / width][i % width] = R(0);
  if (column < columns) {
    COXSWAIN_UNROLL_BY(4)
    for (std::int64_t row = first + threadIdx.y; row < last; row += kSumLanes)
      term.template add<width>(row, column, sums);
  }
  COXSWAIN_UNROLL
  for (int i = 0; i < kValues; ++i)
    lanes[i * kThreadsInAll + threadIdx.y * kWarp + threadIdx.x] = sums[i / width][i % width];
  __syncthreads();
  if (threadIdx.y > 0 || column >= columns) return;
  COXSWAIN_UNROLL
  for (int i = 0; i < kValues; ++i)
    for (int lane = 1; lane < kSumLanes; ++lane)
      sums[i / width][i % width] += lanes[i * kThreadsInAll + lane * kWarp + threadIdx.x];
  COXSWAIN_UNROLL
  for (int sum = 0; sum < Term::kSums; ++sum)
    sums[sum].store(partial + (std::int64_t{sum} * gridDim.y + blockIdx.y) * columns + column);
}

template <class R>
struct AddPartials {
  const R* partial;
  std::int64_t blocks, columns;
  R* totals;

  __device__ void operator()(std::int64_t, std::int64_t column) const {
    R sum = 0;
    for (std::int64_t block = 0; block < blocks; ++block) sum += partial[block * columns + column];
    totals[column] += sum;
  }
};

// `operands`: what the term reads in strips.
template <class Term>
void add_column_sums(Backend& backend, cudaStream_t stream, std::int64_t rows, std::int64_t columns,
                     std::initializer_list<TensorView> operands, const Term& term,
                     const std::array<Real<typename Term::T>*, Term::kSums>& totals) {
  using R = Real<typename Term::T>;
  constexpr int kWidth = kPack<typename Term::T>;
  constexpr std::int64_t kFewestRows = 64, kMostBlocks = 64;
  if (rows == 0 || columns == 0) return;
  const std::int64_t each = (rows + kMostBlocks - 1) / kMostBlocks;
  const std::int64_t rows_in_block = std::max(kFewestRows, (each + kSumLanes - 1) / kSumLanes * kSumLanes);
  const unsigned blocks = pieces(rows, rows_in_block);
  const Scratch<R> partial(backend, Term::kSums * blocks * columns);
  const bool wide = columns % kWidth == 0 && rows_are_wide(operands);
  launch(stream, {dim3(pieces(columns, kWarp * (wide ? kWidth : 1)), blocks), dim3(kWarp, kSumLanes)},
         wide ? column_sums_kernel<kWidth, Term> : column_sums_kernel<1, Term>, term, rows, rows_in_block, columns,
         partial.data());
  for (int sum = 0; sum < Term::kSums; ++sum)
    elementwise(stream, 1, columns,
                AddPartials<R>{partial.data() + std::int64_t{sum} * blocks * columns, blocks, columns,
                               totals[static_cast<std::size_t>(sum)]});
}

}  // namespace coxswain
