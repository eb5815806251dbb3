// What flash attention forward and backward share: tiles of bf16 in shared memory, and products of tiles on tensor
// cores with FP32 sums (ptx.cuh).
//
// A warp has 16 rows of a result. Sums [16, 8] lie over a warp's lanes as
// mma gives them: with g = lane / 4 and i = 2 (lane % 4), elements 0 and 1 are row g, columns i and i + 1, elements 2
// and 3 row g + 8. Weights that a warp has computed are a factor of its next product as they lie, rounded to bf16.
#pragma once

#include <limits>
#include <stdexcept>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/ptx.cuh"

namespace coxswain::flash {

using attention_tiles::Extents;
using attention_tiles::Heads;
using attention_tiles::Visible;
using ptx::Pair;

inline constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

// Elements between rows of a tile: an odd number of 16 bytes, so that eight rows of a matrix lie in all banks.
template <int columns>
inline constexpr int kStride = columns + 8;
template <int columns>
constexpr std::size_t tile_bytes(int rows) {
  return static_cast<std::size_t>(rows) * kStride<columns> * sizeof(bf16);
}

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ inline int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
__device__ inline int fragment_row(int half) { return lane() / 4 + 8 * half; }
__device__ inline int fragment_column() { return lane() % 4 * 2; }

// One head of one sequence: token after token.
template <class T>
struct Rows {
  T* data;
  std::int64_t stride;
  __device__ Rows(const Heads<T>& heads, std::int64_t sequence, std::int64_t head)
      : data(heads.at(sequence, 0, head)), stride(heads.t_stride) {}
  __device__ T* operator[](int token) const { return data + token * stride; }
};

// Blocks of a kernel: [sequences, tiles, heads], heads side by side. So the tiles that take longest can come first, of
// all heads of a sequence, whose keys and values lie in the second-level cache meanwhile.
inline dim3 blocks_of(const Extents& extents, int rows, std::int64_t heads) {
  return dim3(pieces(heads, 1), pieces(extents.t, rows), pieces(extents.b, 1));
}

// Whether all rows of these views can be moved 16 bytes at a time. The bits of no result depend on it.
inline bool moves_wide(std::initializer_list<const TensorView*> views) {
  for (const TensorView* view : views) {
    if (reinterpret_cast<std::uintptr_t>(view->data) % 16 != 0 || view->shape[3] % 8 != 0) return false;
    for (int dim = 0; dim < 3; ++dim)
      if (view->strides[dim] % 8 != 0) return false;
  }
  return true;
}

// Tokens [first, first + rows) into a tile, zeros where there is no token or no column. Asynchronous.
template <int columns, int rows, int threads>
__device__ void load_tile(const Rows<bf16>& from, int first, const Extents& extents, bool wide, bf16* tile) {
  constexpr int kPieces = columns / 8;
  const int t = static_cast<int>(extents.t), d = static_cast<int>(extents.d);
  for (int i = static_cast<int>(threadIdx.x); i < rows * kPieces; i += threads) {
    const int row = i / kPieces, column = i % kPieces * 8, token = first + row;
    bf16* to = tile + row * kStride<columns> + column;
    const bool present = token < t && column < d;
    const bf16* source = from[token < t ? token : 0] + (column < d ? column : 0);
    if (wide) {
      ptx::copy_async(to, source, present);
    } else {
      for (int c = 0; c < 8; ++c) to[c] = present && column + c < d ? source[c] : bf16(0.0f);
    }
  }
}

// sums[., .] += a b^T for 16 rows of a and all `others` rows of b, both tiles of `columns` columns.
template <int columns, int others>
__device__ void multiply_rows(const bf16* a, const bf16* b, float (&sums)[others / 8][4]) {
  const bf16* of_a = a + lane() % 16 * kStride<columns> + lane() / 16 * 8;
  const bf16* of_b = b + (lane() % 8 + lane() / 16 * 8) * kStride<columns> + lane() / 8 % 2 * 8;
  COXSWAIN_UNROLL
  for (int k = 0; k < columns; k += 16) {
    Pair left[4];
    ptx::load_matrices(left, of_a + k);
    COXSWAIN_UNROLL
    for (int j = 0; j < others / 16; ++j) {
      Pair right[4];
      ptx::load_matrices(right, of_b + j * 16 * kStride<columns> + k);
      ptx::mma(sums[2 * j], left, right[0], right[1]);
      ptx::mma(sums[2 * j + 1], left, right[2], right[3]);
    }
  }
}

// sums[., .] += w b for weights [16, others] as they lie over the lanes and b, a tile of `others` rows.
template <int columns, int others>
__device__ void add_weighted(const Pair (&weights)[others / 8][2], const bf16* b, float (&sums)[columns / 8][4]) {
  const bf16* of_b = b + lane() % 16 * kStride<columns> + lane() / 16 * 8;
  COXSWAIN_UNROLL
  for (int k = 0; k < others / 16; ++k) {
    const Pair left[4] = {weights[2 * k][0], weights[2 * k][1], weights[2 * k + 1][0], weights[2 * k + 1][1]};
    COXSWAIN_UNROLL
    for (int j = 0; j < columns / 16; ++j) {
      Pair right[4];
      ptx::load_transposed(right, of_b + k * 16 * kStride<columns> + j * 16);
      ptx::mma(sums[2 * j], left, right[0], right[1]);
      ptx::mma(sums[2 * j + 1], left, right[2], right[3]);
    }
  }
}

// A warp's results [16, columns], times scale(half) a row, rounded, by way of as many rows of shared memory that nobody
// else uses, to tokens first, first + 1, ...
template <int columns, class Scale>
__device__ void store_rows(const float (&results)[columns / 8][4], const Scale& scale, bf16* own, const Rows<bf16>& to,
                           int first, const Extents& extents, bool wide) {
  for (int half = 0; half < 2; ++half) {
    const float factor = scale(half);
    bf16* row = own + fragment_row(half) * kStride<columns> + fragment_column();
    COXSWAIN_UNROLL
    for (int j = 0; j < columns / 8; ++j)
      ptx::store_pair(row + j * 8, ptx::pack(results[j][2 * half] * factor, results[j][2 * half + 1] * factor));
  }
  __syncwarp();
  constexpr int kPieces = columns / 8;
  const int t = static_cast<int>(extents.t), d = static_cast<int>(extents.d);
  for (int piece = lane(); piece < 16 * kPieces; piece += kWarp) {
    const int row = piece / kPieces, column = piece % kPieces * 8;
    if (first + row >= t || column >= d) continue;
    const bf16* from = own + row * kStride<columns> + column;
    bf16* place = to[first + row] + column;
    if (wide) {
      ptx::store_wide(place, ptx::load_wide(from));
    } else {
      for (int c = 0; c < 8 && column + c < d; ++c) place[c] = from[c];
    }
  }
}

// Of the queries [first, first + rows): the lowest and the highest of their first keys. The same on all threads.
struct FirstKeys {
  int lowest, highest;
};
template <int rows, int threads>
__device__ FirstKeys first_keys(const Visible& visible, std::int64_t sequence, int first) {
  const auto of = [&](int query) {
    const int last = static_cast<int>(visible.t) - 1;
    return static_cast<int>(visible.first_key(sequence, query < last ? query : last));
  };
  if (!visible.starts) return {of(first), of(first + rows - 1)};
  static_assert(rows <= threads);
  const int own = of(first + static_cast<int>(threadIdx.x) % rows);
  return {-join_block(-own, Greater()), join_block(own, Greater())};
}

// The lanes that share a row: four.
template <class Join>
__device__ float join_row(float value, const Join& join) {
  value = join(value, __shfl_xor_sync(kAllLanes, value, 1));
  return join(value, __shfl_xor_sync(kAllLanes, value, 2));
}

// Calls body(width) with the columns of a tile as a constant.
template <int columns>
struct Columns {
  static constexpr int value = columns;
};
template <class Body>
void dispatch_columns(const char* operation, std::int64_t d, const Body& body) {
  if (d <= 64) return body(Columns<64>{});
  if (d <= 80) return body(Columns<80>{});
  if (d <= 96) return body(Columns<96>{});
  if (d <= 128) return body(Columns<128>{});
  if (d <= 256) return body(Columns<256>{});
  throw std::invalid_argument(std::string(operation) + ": the head size " + std::to_string(d) + " is above 256");
}

}  // namespace coxswain::flash
