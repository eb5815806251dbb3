// What both forms of the products of rows share (row_linear.cu): operands, results, and products of tiles of BF16.
#pragma once

#include <bit>
#include <limits>
#include <stdexcept>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/pack.cuh"

namespace coxswain::row_tiles {

// ---- operands

// 32 bits, so that a place in memory is one multiplication.
template <class Number>
Number number(std::int64_t value) {
  if (value < std::numeric_limits<Number>::max() - (1 << 16)) return static_cast<Number>(value);
  throw std::invalid_argument("linear_rows: " + std::to_string(value) +
                              " is too many rows, columns or elements between rows");
}

// Rows along k, of which those beyond the last one are the last one again, and what lies beyond k is zero.
template <class T>
struct Rows {
  const T* data;
  unsigned stride, count;
  int k;
  bool wide;  // all start at multiples of 16 bytes, and so does their end

  explicit Rows(const TensorView& view)
      : data(view.as<T>()),
        stride(view.shape[0] > 1 ? number<unsigned>(view.strides[0]) : 0),
        count(number<unsigned>(view.shape[0])),
        k(number<int>(view.shape[1])) {
    wide = reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride % kPack<T> == 0 && k % kPack<T> == 0;
  }
  __device__ const T* operator[](unsigned row) const {
    return data + std::uint64_t{row < count ? row : count - 1} * stride;
  }
  // Sixteen bytes of a row: at once where rows are wide, else element by element.
  template <bool by_pack>
  __device__ uint4 pack(const T* row, int first) const {
    if constexpr (by_pack) {
      return first < k ? ptx::load_wide(row + first) : uint4{0, 0, 0, 0};
    } else {
      Pack<T> result;
      COXSWAIN_UNROLL
      for (int i = 0; i < kPack<T>; ++i) result.values[i] = first + i < k ? row[first + i] : T(0.0f);
      return std::bit_cast<uint4>(result);
    }
  }
};

template <class R>
struct Results {
  Vector<R> bias;
  void* data;
  std::int64_t stride;
  bool narrow;
  Activation activation;

  Results(const TensorView& bias_view, Activation kind, const TensorView& y)
      : bias(bias_view), data(y.data), stride(y.strides[0]), narrow(y.dtype == DType::bf16), activation(kind) {}
  __device__ void put_sum(std::int64_t row, std::int64_t column, R sum) const {
    if (bias) sum += bias[column];
    const R result = apply(activation, sum);
    const std::int64_t place = row * stride + column;
    if (narrow) {
      put(static_cast<bf16*>(data)[place], static_cast<float>(result));
    } else {
      static_cast<R*>(data)[place] = result;
    }
  }
};

template <class T>
struct RowLinear {
  Rows<T> x, w;
  Results<Real<T>> y;
};

// ---- BF16

inline constexpr int kTileRows = 16, kColumnRows = 8;  // of w and of x in a product
inline constexpr int kSplits = kThreads / kWarp;       // of k
inline constexpr int kHalf = 32, kPiece = 2 * kHalf;   // of k: 128 bytes of a row

// sums += a tile of w times columns of x, for the half of a piece that the lanes hold.
template <int columns>
__device__ void multiply(const uint4& upper, const uint4& lower, const uint4 (&x)[columns], float (&sums)[columns][4]) {
  const ptx::Pair first[4] = {upper.x, lower.x, upper.y, lower.y}, second[4] = {upper.z, lower.z, upper.w, lower.w};
  COXSWAIN_UNROLL
  for (int j = 0; j < columns; ++j) ptx::mma(sums[j], first, x[j].x, x[j].y);
  COXSWAIN_UNROLL
  for (int j = 0; j < columns; ++j) ptx::mma(sums[j], second, x[j].z, x[j].w);
}

// A warp's sums, over its lanes as mma gives them, into memory as [rows of x, rows of w], Tile::kStride apart.
template <class Tile>
__device__ void store_sums(const float (&sums)[Tile::kTiles][Tile::kColumns][4], float* memory_of_warp) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float* const own = memory_of_warp + lane % 4 * 2 * Tile::kStride + lane / 4;
  COXSWAIN_UNROLL
  for (int i = 0; i < Tile::kTiles; ++i) {
    COXSWAIN_UNROLL
    for (int j = 0; j < Tile::kColumns; ++j) {
      float* const place = own + j * kColumnRows * Tile::kStride + i * kTileRows;
      place[0] = sums[i][j][0], place[Tile::kStride] = sums[i][j][1];
      place[8] = sums[i][j][2], place[Tile::kStride + 8] = sums[i][j][3];
    }
  }
}

// More than 128 rows of x, all of them and those of w wide (row_linear_tall.cu): the same bits.
void row_linear_tall(cudaStream_t stream, const RowLinear<bf16>& op);

}  // namespace coxswain::row_tiles
