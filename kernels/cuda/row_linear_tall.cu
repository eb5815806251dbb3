// Products of many rows in BF16 (prompts), whose bits are those of few rows (row_linear.cu).
//
// There a warp takes w and x past shared memory, or for itself alone, and each of a block's eight warps has an eighth
// of k. Here a block's rows of w and x lie in shared memory for all its warps, a warp has 32 by 32 of the results, and
// the eight sums of an element, each from its own pieces of k, come one after the other and are joined in the same
// order.
//
// Floor: products on tensor cores. A block asks the second-level cache for 192 rows of k for 64 by 128 results; shared
// memory gives a warp 8 times sixteen bytes a lane for 16 products.
#include <algorithm>

#include "kernels/cuda/row_linear.cuh"

namespace coxswain::row_tiles {
namespace {

// Two blocks fit into an A100's shared memory.
struct TallTile {
  static constexpr int kTiles = 2, kColumns = 4;                   // of a warp: 16 rows of w, 8 rows of x
  static constexpr int kAcross = 2, kDown = kThreads / kWarp / 2;  // warps along w and along x
  static constexpr int kWeights = kTileRows * kTiles * kAcross, kRows = kColumnRows * kColumns * kDown;  // of a block
  static constexpr int kStages = 3, kStage = (kWeights + kRows) * kPiece;  // elements: w, then x
  static constexpr int kStride = kWeights + 4;                             // of the results: lanes write to all banks
  static constexpr std::size_t kSharedBytes = std::max(kStages * kStage * sizeof(bf16), kRows* kStride * sizeof(float));
};

using Sums = float[TallTile::kTiles][TallTile::kColumns][4];

// Sixteen bytes of a piece of k in a stage, [rows, 8]: eight lanes that read four of two neighbouring rows, or write
// one row, reach all banks.
__device__ bf16* place(bf16* stage, unsigned row, unsigned part) {
  return stage + row * kPiece + (part ^ row % 2 * 4) * kPack<bf16>;
}

// Pieces of k on their way through shared memory: 0, 8, 16, ..., then 1, 9, ..., and so on.
struct Ring {
  const RowLinear<bf16>& op;
  unsigned first_w, first_x;
  int count, next = 0;  // pieces

  // Asks for the next piece, if there is one.
  __device__ void ask(bf16* stage) {
    if (next < count) {
      constexpr unsigned kTogether = kThreads / 8;  // rows
      const unsigned row = threadIdx.x / 8, part = threadIdx.x % 8;
      const int at = next * kPiece + static_cast<int>(part) * kPack<bf16>;
      bf16* const to = place(stage, row, part);
      COXSWAIN_UNROLL
      for (unsigned i = 0; i < TallTile::kWeights; i += kTogether)
        ptx::copy_async(to + i * kPiece, op.w[first_w + row + i] + at, at < op.w.k);
      COXSWAIN_UNROLL
      for (unsigned i = 0; i < TallTile::kRows; i += kTogether)
        ptx::copy_async(to + (TallTile::kWeights + i) * kPiece, op.x[first_x + row + i] + at, at < op.w.k);
      const int following = next % kSplits + 1;
      next = next + kSplits < count ? next + kSplits : following < kSplits ? following : count;
    }
    ptx::commit_copies();
  }
};

// sums += the warp's rows of w times its rows of x, for one piece of k.
__device__ void multiply_piece(bf16* stage, Sums& sums) {
  const unsigned warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const unsigned of_w = warp % TallTile::kAcross * TallTile::kTiles * kTileRows + lane / 4;
  const unsigned of_x = TallTile::kWeights + warp / TallTile::kAcross * TallTile::kColumns * kColumnRows + lane / 4;
  COXSWAIN_UNROLL
  for (unsigned half = 0; half < 2; ++half) {
    const unsigned part = half * 4 + lane % 4;
    uint4 x[TallTile::kColumns];
    COXSWAIN_UNROLL
    for (int j = 0; j < TallTile::kColumns; ++j) x[j] = ptx::load_wide(place(stage, of_x + j * kColumnRows, part));
    COXSWAIN_UNROLL
    for (int i = 0; i < TallTile::kTiles; ++i)
      multiply(ptx::load_wide(place(stage, of_w + i * kTileRows, part)),
               ptx::load_wide(place(stage, of_w + i * kTileRows + 8, part)), x, sums[i]);
  }
}

__device__ void add(const Sums& sums, Sums& total) {
  COXSWAIN_UNROLL
  for (int i = 0; i < TallTile::kTiles; ++i) {
    COXSWAIN_UNROLL
    for (int j = 0; j < TallTile::kColumns; ++j) {
      COXSWAIN_UNROLL
      for (int element = 0; element < 4; ++element) total[i][j][element] += sums[i][j][element];
    }
  }
}

// The warp's results; the block's memory is free when all threads have returned.
__device__ void add_up(Ring ring, bf16* memory, Sums& total) {
  COXSWAIN_UNROLL_BY(1)
  for (int stage = 0; stage + 1 < TallTile::kStages; ++stage) ring.ask(memory + stage * TallTile::kStage);
  int stage = 0;
  COXSWAIN_UNROLL_BY(1)
  for (int split = 0; split < kSplits; ++split) {
    Sums sums = {};
    for (int piece = split; piece < ring.count; piece += kSplits) {
      ptx::wait_for_copies<TallTile::kStages - 2>();
      __syncthreads();  // the piece is there, and the last turn's is no longer read
      const int last = stage == 0 ? TallTile::kStages - 1 : stage - 1;
      ring.ask(memory + last * TallTile::kStage);
      multiply_piece(memory + stage * TallTile::kStage, sums);
      stage = stage + 1 == TallTile::kStages ? 0 : stage + 1;
    }
    add(sums, total);
  }
}

__global__ void __launch_bounds__(kThreads, 2) row_linear_tall_kernel(RowLinear<bf16> op, unsigned parts_of_x) {
  const unsigned first_x = blockIdx.x % parts_of_x * TallTile::kRows;
  const unsigned first_w = blockIdx.x / parts_of_x * TallTile::kWeights;
  bf16* const memory = dynamic_shared<bf16>();
  Sums total = {};
  add_up({op, first_w, first_x, (op.w.k + kPiece - 1) / kPiece}, memory, total);
  ptx::wait_for_copies<0>();
  __syncthreads();  // the last piece is no longer read
  float* const results = reinterpret_cast<float*>(memory);
  const unsigned warp = threadIdx.x / kWarp;
  store_sums<TallTile>(total, results +
                                  warp / TallTile::kAcross * TallTile::kColumns * kColumnRows * TallTile::kStride +
                                  warp % TallTile::kAcross * TallTile::kTiles * kTileRows);
  __syncthreads();  // all results are there
  for (unsigned i = threadIdx.x; i < TallTile::kRows * TallTile::kWeights; i += kThreads) {
    const unsigned row = i / TallTile::kWeights, column = i % TallTile::kWeights;
    if (first_x + row < op.x.count && first_w + column < op.w.count)
      op.y.put_sum(first_x + row, first_w + column, results[row * TallTile::kStride + column]);
  }
}

}  // namespace

void row_linear_tall(cudaStream_t stream, const RowLinear<bf16>& op) {
  const unsigned parts_of_x = pieces(op.x.count, TallTile::kRows);
  launch(stream, {dim3(parts_of_x * pieces(op.w.count, TallTile::kWeights)), dim3(kThreads), TallTile::kSharedBytes},
         row_linear_tall_kernel, op, parts_of_x);
}

}  // namespace coxswain::row_tiles
