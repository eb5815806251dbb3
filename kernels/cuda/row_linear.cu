// Products of a linear layer whose rows do not depend on each other: y = activation(x w^T + bias), for one row or many.
//
// An element is one sum along k in a fixed order, so its bits depend on the row of x, the row of w and k alone: not on
// how many rows there are, nor on how they lie. BF16, on tensor cores: warp v of a block adds up pieces v, v + 8, ...
// of 64 values of k, and the eight sums are joined in the order of warps. A sum may take its terms in any order, so a
// lane takes sixteen neighbouring bytes of a row as they lie for two products of 16 values of k: its pairs 0 and 1 for
// the first one, 2 and 3 for the second, in w (16 rows, the left factor) and x (8 rows, the right one) alike. FP32 and
// f64: a warp adds up two rows of w with some rows of x, a lane sixteen bytes of every 512, and a tree joins the lanes.
//
// Floor: w through memory once for up to 64 rows of x (FP32: 8). Asynchronous copies of w keep 32 KiB and more of a
// block on their way; x is small, and read by every block out of the caches.
#include <algorithm>
#include <bit>
#include <limits>
#include <stdexcept>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/pack.cuh"

namespace coxswain {
namespace {

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

constexpr int kTileRows = 16, kColumnRows = 8;  // of w and of x in a product
constexpr int kSplits = kThreads / kWarp;       // of k
constexpr int kHalf = 32, kPiece = 2 * kHalf;   // of k: 128 bytes of a row

// A warp's share of w on its way through shared memory, a piece of k a stage. Lanes read what they have copied
// themselves, so that nobody waits for anybody else.
template <int tiles, int stages, bool by_pack>
struct WeightRing {
  static constexpr int kParts = 4 * tiles;  // two rows of a tile, both halves of a piece
  static constexpr int kBytes = stages * kParts * kWarp * static_cast<int>(sizeof(uint4));
  uint4* own;  // [stages, parts], 32 apart

  __device__ uint4* place(int stage, int part) const { return own + (stage * kParts + part) * kWarp; }
  __device__ static unsigned row_of(int part) { return static_cast<unsigned>(part) / 2 * 8; }
  // `column`: the lane's first one of the piece.
  __device__ void ask(const Rows<bf16>& w, unsigned row, int piece, int column, int stage) const {
    const int first = piece * kPiece;
    COXSWAIN_UNROLL
    for (int part = 0; part < kParts; ++part) {
      const bf16* from = w[row + row_of(part)];
      const int at = first + part % 2 * kHalf + column;
      if constexpr (by_pack) {
        ptx::copy_async(place(stage, part), from + at, at < w.k);
      } else {
        *place(stage, part) = w.template pack<false>(from, at);
      }
    }
  }
};

// sums += a tile of w times columns of x, for the half of a piece that the lanes hold.
template <int columns>
__device__ void multiply(const uint4& upper, const uint4& lower, const uint4 (&x)[columns], float (&sums)[columns][4]) {
  const ptx::Pair first[4] = {upper.x, lower.x, upper.y, lower.y}, second[4] = {upper.z, lower.z, upper.w, lower.w};
  COXSWAIN_UNROLL
  for (int j = 0; j < columns; ++j) ptx::mma(sums[j], first, x[j].x, x[j].y);
  COXSWAIN_UNROLL
  for (int j = 0; j < columns; ++j) ptx::mma(sums[j], second, x[j].z, x[j].w);
}

template <int tiles, int columns, int stages, bool by_pack = true>
struct TileShape {
  static constexpr bool kByPack = by_pack;
  static constexpr int kTiles = tiles, kColumns = columns, kStages = stages;
  static constexpr int kWeights = kTileRows * tiles, kRows = kColumnRows * columns;  // of a block
  // Between rows of x in a warp's sums [rows of x, rows of w]: its lanes write to all banks.
  static constexpr int kStride = kWeights + 4;
  using Ring = WeightRing<tiles, stages, by_pack>;
  static constexpr int kOfWarp = std::max(Ring::kBytes, kRows* kStride * 4);  // bytes: its sums follow its ring
  static constexpr std::size_t kSharedBytes = kSplits * kOfWarp;
};

// The warp's part of the sums, over its lanes as mma gives them.
template <class Tile>
__device__ void add_up(const RowLinear<bf16>& op, unsigned first_w, unsigned first_x, uint4* ring_of_warp,
                       float (&sums)[Tile::kTiles][Tile::kColumns][4]) {
  // Halves of a piece whose x is asked for ahead: as many as registers allow.
  constexpr int kAhead = Tile::kColumns <= 4 ? 2 : 1;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int group = lane / 4, column = lane % 4 * 8;
  const int pieces_of_k = (op.w.k + kPiece - 1) / kPiece;
  const typename Tile::Ring ring{ring_of_warp + lane};
  const auto ask = [&](int piece, int stage) {
    if (piece < pieces_of_k) ring.ask(op.w, first_w + group, piece, column, stage);
    ptx::commit_copies();
  };
  uint4 x[kAhead][Tile::kColumns];
  const auto load_x = [&](int piece, int half, uint4(&to)[Tile::kColumns]) {
    if (piece >= pieces_of_k) return;
    const int first = piece * kPiece + half * kHalf;
    COXSWAIN_UNROLL
    for (int j = 0; j < Tile::kColumns; ++j)
      to[j] = op.x.template pack<Tile::kByPack>(op.x[first_x + j * kColumnRows + group], first + column);
  };
  COXSWAIN_UNROLL_BY(1)
  for (int stage = 0; stage + 1 < Tile::kStages; ++stage) ask(warp + stage * kSplits, stage);
  COXSWAIN_UNROLL
  for (int half = 0; half < kAhead; ++half) load_x(warp, half, x[half]);
  int stage = 0;
  for (int piece = warp; piece < pieces_of_k; piece += kSplits) {
    const int last = stage == 0 ? Tile::kStages - 1 : stage - 1;  // read in the last turn
    ask(piece + (Tile::kStages - 1) * kSplits, last);
    ptx::wait_for_copies<Tile::kStages - 1>();
    COXSWAIN_UNROLL
    for (int half = 0; half < 2; ++half) {
      uint4(&now)[Tile::kColumns] = x[half % kAhead];
      COXSWAIN_UNROLL
      for (int i = 0; i < Tile::kTiles; ++i)
        multiply(ptx::load_wide(ring.place(stage, 4 * i + half)), ptx::load_wide(ring.place(stage, 4 * i + 2 + half)),
                 now, sums[i]);
      const int next = half + kAhead;
      load_x(piece + next / 2 * kSplits, next % 2, now);
    }
    stage = stage + 1 == Tile::kStages ? 0 : stage + 1;
  }
  ptx::wait_for_copies<0>();
}

// Into a warp's memory as [rows of x, rows of w].
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

// A block has some tiles of 16 rows of w and some of 8 rows of x.
template <class Tile>
__global__ void __launch_bounds__(kThreads, Tile::kColumns == 8 ? 1 : 2)
    row_linear_kernel(RowLinear<bf16> op, unsigned parts_of_x) {
  const unsigned first_x = blockIdx.x % parts_of_x * Tile::kRows;
  const unsigned first_w = blockIdx.x / parts_of_x * Tile::kWeights;
  uint4* const memory = dynamic_shared<uint4>();
  const float* const sums_of_first = reinterpret_cast<const float*>(memory);
  uint4* const own = memory + threadIdx.x / kWarp * (Tile::kOfWarp / sizeof(uint4));
  float sums[Tile::kTiles][Tile::kColumns][4] = {};
  add_up<Tile>(op, first_w, first_x, own, sums);
  __syncwarp();  // all have read their ring
  store_sums<Tile>(sums, reinterpret_cast<float*>(own));
  __syncthreads();
  for (unsigned i = threadIdx.x; i < Tile::kRows * Tile::kWeights; i += kThreads) {
    const unsigned row = i / Tile::kWeights, column = i % Tile::kWeights;
    if (first_x + row >= op.x.count || first_w + column >= op.w.count) continue;
    const float* place = sums_of_first + row * Tile::kStride + column;
    float sum = *place;
    COXSWAIN_UNROLL
    for (int split = 1; split < kSplits; ++split) sum += place[split * (Tile::kOfWarp / 4)];
    op.y.put_sum(first_x + row, first_w + column, sum);
  }
}

template <class Tile>
void run_tiles(cudaStream_t stream, const RowLinear<bf16>& op) {
  const unsigned parts_of_x = pieces(op.x.count, Tile::kRows);
  launch(stream, {dim3(parts_of_x * pieces(op.w.count, Tile::kWeights)), dim3(kThreads), Tile::kSharedBytes},
         row_linear_kernel<Tile>, op, parts_of_x);
}

void row_linear(cudaStream_t stream, const RowLinear<bf16>& op) {
  if (!op.x.wide || !op.w.wide) return run_tiles<TileShape<1, 1, 2, false>>(stream, op);
  if (op.x.count <= 8) return run_tiles<TileShape<1, 1, 4>>(stream, op);
  if (op.x.count <= 16) return run_tiles<TileShape<1, 2, 4>>(stream, op);
  if (op.x.count <= 32) return run_tiles<TileShape<2, 4, 3>>(stream, op);
  run_tiles<TileShape<2, 8, 3>>(stream, op);
}

// ---- FP32 and f64

constexpr int kPair = 2;   // rows of w in a warp
constexpr int kParts = 4;  // of a row in a turn, to which the last turn is filled up with zeros

// A warp has two rows of w and some of x.
template <class T, int rows, bool by_pack>
__global__ void __launch_bounds__(kThreads, 2) row_sums_kernel(RowLinear<T> op, unsigned parts_of_x) {
  constexpr int kAcross = kWarp * kPack<T>;
  constexpr int kTogether = rows == 1 ? kParts : kParts / 2;  // loads of a row of w that are under way
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const unsigned first_x = blockIdx.x % parts_of_x * rows;
  const unsigned first_w = (blockIdx.x / parts_of_x * (kThreads / kWarp) + threadIdx.x / kWarp) * kPair;
  if (first_w >= op.w.count) return;
  T sums[kPair][rows] = {};
  const auto pack_of = [](const Rows<T>& from, unsigned row, int first) {
    return std::bit_cast<Pack<T>>(from.template pack<by_pack>(from[row], first));
  };
  const auto add_products = [&](const Pack<T>(&w)[kPair], int first) {
    COXSWAIN_UNROLL
    for (int i = 0; i < rows; ++i) {
      const Pack<T> x = pack_of(op.x, first_x + i, first);
      COXSWAIN_UNROLL
      for (int l = 0; l < kPack<T>; ++l)
        for (int j = 0; j < kPair; ++j) sums[j][i] = multiply_add(x.values[l], w[j].values[l], sums[j][i]);
    }
  };
  for (int first = lane * kPack<T>; first < op.w.k; first += kParts * kAcross) {
    COXSWAIN_UNROLL_BY(1)
    for (int start = first; start < first + kParts * kAcross; start += kTogether * kAcross) {
      Pack<T> w[kTogether][kPair];
      COXSWAIN_UNROLL
      for (int part = 0; part < kTogether; ++part)
        for (int j = 0; j < kPair; ++j) w[part][j] = pack_of(op.w, first_w + j, start + part * kAcross);
      COXSWAIN_UNROLL
      for (int part = 0; part < kTogether; ++part) add_products(w[part], start + part * kAcross);
    }
  }
  COXSWAIN_UNROLL
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < kPair; ++j) {
      if (first_x + i >= op.x.count || first_w + j >= op.w.count) continue;
      const T sum = join_warp(sums[j][i], Add());
      if (lane == 0) op.y.put_sum(first_x + i, first_w + j, sum);
    }
}

template <int rows, bool by_pack, class T>
void run_sums(cudaStream_t stream, const RowLinear<T>& op) {
  const unsigned parts_of_x = pieces(op.x.count, rows);
  launch(stream, {dim3(parts_of_x * pieces(op.w.count, kPair * (kThreads / kWarp)))}, row_sums_kernel<T, rows, by_pack>,
         op, parts_of_x);
}

template <class T>
void row_linear(cudaStream_t stream, const RowLinear<T>& op) {
  if (!op.x.wide || !op.w.wide) return run_sums<4, false>(stream, op);
  op.x.count == 1 ? run_sums<1, true>(stream, op) : run_sums<8, true>(stream, op);
}

}  // namespace

void CudaBackend::do_linear_rows(TensorView x, TensorView w, TensorView bias, Activation activation, TensorView y) {
  dispatch_type(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    row_linear(stream(), RowLinear<T>{Rows<T>(x), Rows<T>(w), Results<Real<T>>(bias, activation, y)});
  });
}

}  // namespace coxswain
