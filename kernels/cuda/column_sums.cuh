// Sums over rows: totals[c] += sum over r of term(r, c); several sums of the same operands at once. Floor: the operands
// through memory once.
//
// One order, which follows from the number of rows alone: blocks of rows (32 or more, so that there are 128 blocks at
// most), in each eight lanes that take every eighth row and are joined in turn; then the same over the blocks' sums. A
// thread has sixteen bytes of a row where all rows allow it, else one element: a column's sum has the same bits.
#pragma once

#include <array>

#include "kernels/cuda/strips.cuh"

namespace coxswain {

inline constexpr int kSumLanes = 8, kRowsAtOnce = 4;  // rows that a lane asks for before it adds the first of them

// What one lane has of neighbouring columns, moved sixteen bytes at a time.
template <class R, int width>
struct alignas(width * sizeof(R) % 16 == 0 ? 16 : sizeof(R)) LaneSums {
  R values[width];
};

// Term: T, the narrowest type of its operands; kSums; load<width>(row, column); add(loaded, sums), which adds to kSums
// strips.
template <int width, class Term>
__global__ void __launch_bounds__(kWarp* kSumLanes)
    column_sums_kernel(Term term, std::int64_t rows, std::int64_t rows_in_block, std::int64_t columns,
                       Real<typename Term::T>* partial) {
  using R = Real<typename Term::T>;
  using Lane = LaneSums<R, width>;
  constexpr int kSums = Term::kSums, kColumns = kWarp * width, kTurn = kSumLanes * kRowsAtOnce;
  COXSWAIN_SHARED(Lane, lanes, kSumLanes * kSums * kWarp);
  const std::int64_t first_column = std::int64_t{blockIdx.x} * kColumns, column = first_column + threadIdx.x * width;
  const std::int64_t first = std::int64_t{blockIdx.y} * rows_in_block;
  const std::int64_t last = first + rows_in_block < rows ? first + rows_in_block : rows;
  Strip<R, width> sums[kSums];
  COXSWAIN_UNROLL
  for (int i = 0; i < kSums * width; ++i) sums[i / width][i % width] = R(0);
  for (std::int64_t row = first + threadIdx.y; column < columns && row < last; row += kTurn) {
    decltype(term.template load<width>(row, column)) loaded[kRowsAtOnce];
    COXSWAIN_UNROLL
    for (int i = 0; i < kRowsAtOnce; ++i) {
      const std::int64_t next = row + i * kSumLanes;  // the last one again rather than a branch between the loads
      loaded[i] = term.template load<width>(next < last ? next : row, column);
    }
    COXSWAIN_UNROLL
    for (int i = 0; i < kRowsAtOnce; ++i)
      if (row + i * kSumLanes < last) term.add(loaded[i], sums);
  }
  COXSWAIN_UNROLL
  for (int i = 0; i < kSums * width; ++i)
    lanes[(threadIdx.y * kSums + i / width) * kWarp + threadIdx.x].values[i % width] = sums[i / width][i % width];
  __syncthreads();
  COXSWAIN_UNROLL
  for (int i = static_cast<int>(threadIdx.y * kWarp + threadIdx.x); i < kSums * kColumns; i += kSumLanes * kWarp) {
    const int sum = i / kColumns, in_block = i % kColumns;
    if (first_column + in_block >= columns) continue;
    const auto of_lane = [&](int lane) {
      return lanes[(lane * kSums + sum) * kWarp + in_block / width].values[in_block % width];
    };
    R total = of_lane(0);
    COXSWAIN_UNROLL
    for (int lane = 1; lane < kSumLanes; ++lane) total += of_lane(lane);
    partial[(std::int64_t{sum} * gridDim.y + blockIdx.y) * columns + first_column + in_block] = total;
  }
}

// totals[sum][column] += the partial sums [sums, blocks, columns] of all blocks; blockIdx.y is the sum.
template <class R, int sums>
__global__ void __launch_bounds__(kWarp* kSumLanes)
    add_partials_kernel(const R* partial, int blocks, std::int64_t columns, std::array<R*, sums> totals) {
  constexpr int kAtOnce = 8;
  COXSWAIN_SHARED(R, lanes, kSumLanes * kWarp);
  const std::int64_t column = std::int64_t{blockIdx.x} * kWarp + threadIdx.x;
  const R* from = partial + std::int64_t{blockIdx.y} * blocks * columns + column;
  R total = 0;
  for (int block = static_cast<int>(threadIdx.y); column < columns && block < blocks; block += kSumLanes * kAtOnce) {
    R loaded[kAtOnce];
    COXSWAIN_UNROLL
    for (int i = 0; i < kAtOnce; ++i)
      loaded[i] = block + i * kSumLanes < blocks ? from[(block + i * kSumLanes) * columns] : R(0);
    COXSWAIN_UNROLL
    for (R value : loaded) total += value;
  }
  lanes[threadIdx.y * kWarp + threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.y > 0 || column >= columns) return;
  COXSWAIN_UNROLL
  for (int lane = 1; lane < kSumLanes; ++lane) total += lanes[lane * kWarp + threadIdx.x];
  R* of_sum = totals[0];
  COXSWAIN_UNROLL
  for (int sum = 1; sum < sums; ++sum)
    if (blockIdx.y == static_cast<unsigned>(sum)) of_sum = totals[sum];
  of_sum[column] += total;
}

// `operands`: what the term reads in strips.
template <class Term>
void add_column_sums(Backend& backend, cudaStream_t stream, std::int64_t rows, std::int64_t columns,
                     std::initializer_list<TensorView> operands, const Term& term,
                     const std::array<Real<typename Term::T>*, Term::kSums>& totals) {
  using R = Real<typename Term::T>;
  constexpr int kWidth = kPack<typename Term::T>, kSums = Term::kSums;
  constexpr std::int64_t kFewestRows = kSumLanes * kRowsAtOnce, kMostBlocks = 128;
  if (rows == 0 || columns == 0) return;
  const std::int64_t each = (rows + kMostBlocks - 1) / kMostBlocks;
  const std::int64_t rows_in_block = (each + kFewestRows - 1) / kFewestRows * kFewestRows;
  const unsigned blocks = pieces(rows, rows_in_block);
  const Scratch<R> partial(backend, kSums * blocks * columns);
  const bool wide = columns % kWidth == 0 && rows_are_wide(operands);
  launch(stream, {dim3(pieces(columns, kWarp * (wide ? kWidth : 1)), blocks), dim3(kWarp, kSumLanes)},
         wide ? column_sums_kernel<kWidth, Term> : column_sums_kernel<1, Term>, term, rows, rows_in_block, columns,
         partial.data());
  launch(stream, {dim3(pieces(columns, kWarp), kSums), dim3(kWarp, kSumLanes)}, add_partials_kernel<R, kSums>,
         partial.data(), static_cast<int>(blocks), columns, totals);
}

}  // namespace coxswain
