// Attention of single rows to what is cached of their texts: out = sum_j p_j v_j, p = softmax(scale q k_j) over the
// keys j that the row's position sees.
//
// Keys lie in blocks of 64 as [block, d, 64], so that 16 bytes hold some neighbouring keys; values lie as [context, d].
// A block of threads has 256 keys of one head of one row; what these blocks have summed up, each against its own
// maximum, a second kernel joins in the order of keys. So one row alone keeps the whole device busy, and its order is
// its own.
//
// Floor: the text's keys and values through memory once (the heads of a group read the same ones, from the second-level
// cache): two multiply-adds for each element, no work for tensor cores. All loads of the cache are of 16 bytes.
#include <limits>
#include <stdexcept>

#include "kernels/cuda/strips.cuh"

namespace coxswain {
namespace {

constexpr std::int64_t kBlock = Backend::kCacheBlock;
constexpr int kDecodeThreads = 128, kWarps = kDecodeThreads / kWarp;
constexpr int kChunk = kWarps * static_cast<int>(kBlock);  // keys
constexpr int kMostColumns = 256;                          // of a head

// [rows or slots, heads, ...] with any strides over the first two.
template <class T>
struct Heads {
  T* data;
  std::int64_t row_stride, head_stride;
  explicit Heads(const TensorView& view)
      : data(view.as<T>()), row_stride(view.strides[0]), head_stride(view.strides[1]) {}
  __device__ T* at(std::int64_t row, std::int64_t head) const { return data + row * row_stride + head * head_stride; }
};

template <class T>
struct CachedHeads {
  using R = Real<T>;
  Heads<T> q, k, v, keys, values, out;
  const std::int32_t *slots, *positions;
  std::int64_t slot_count, context, heads, groups, d, band;
  R scale;
  bool wide;          // whether the cache can be read 16 bytes at a time; the bits do not depend on it
  R* sums = nullptr;  // scratch [rows, heads, chunks, d + 2]: weighted values, maximum, sum of weights

  __device__ std::int64_t count(std::int64_t row) const { return positions[row] + std::int64_t{1}; }
  __device__ std::int64_t first(std::int64_t row) const {
    return band > 0 && count(row) > band ? count(row) - band : 0;
  }
  __host__ __device__ std::int64_t chunks() const { return (context + kChunk - 1) / kChunk; }
  __device__ R* sums_of(std::int64_t row, std::int64_t head, std::int64_t chunk) const {
    return sums + ((row * heads + head) * chunks() + chunk) * (d + 2);
  }
  __device__ void load(const T* from, std::int64_t present, R (&to)[kPack<T>]) const {
    if (wide) {
      const Pack<T> pack = load_pack(from);
      for (int i = 0; i < kPack<T>; ++i) to[i] = coxswain::load(pack.values[i]);
    } else {
      for (int i = 0; i < kPack<T>; ++i) to[i] = i < present ? R(coxswain::load(from[i])) : R(0);
    }
  }
};

// What a row brings to the cache. Its keys go 128 bytes apart (of bf16), each by itself.
template <class T>
struct AppendStrip {
  CachedHeads<T> op;

  template <int width>
  __device__ void strip(std::int64_t row, std::int64_t i) const {
    const std::int64_t slot = op.slots[row], position = op.positions[row];
    if (slot < 0 || slot >= op.slot_count || position < 0 || position >= op.context) __trap();
    const auto d = static_cast<unsigned>(op.d), group = static_cast<unsigned>(i) / d, c = static_cast<unsigned>(i) % d;
    const T *k = op.k.at(row, group) + c, *v = op.v.at(row, group) + c;
    T* keys = op.keys.at(slot, group) + position / kBlock * kBlock * op.d + c * kBlock + position % kBlock;
    T* values = op.values.at(slot, group) + position * op.d + c;
    if constexpr (width == 1) {
      *keys = *k, *values = *v;
    } else {
      const Pack<T> pack = load_pack(k);
      store_pack(values, load_pack(v));
      COXSWAIN_UNROLL
      for (int j = 0; j < width; ++j) keys[j * kBlock] = pack.values[j];
    }
  }
};

// Scores of the warp's block of 64 keys: a lane has some neighbouring keys and every `kParts`th column of them.
template <class T>
__device__ void score_block(const CachedHeads<T>& op, const T* keys, const Real<T>* query, Real<T>* scores) {
  using R = Real<T>;
  constexpr int kAcross = static_cast<int>(kBlock) / kPack<T>, kParts = kWarp / kAcross;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, place = lane % kAcross * kPack<T>;
  R sums[kPack<T>] = {};
  COXSWAIN_UNROLL_BY(4)
  for (std::int64_t c = lane / kAcross; c < op.d; c += kParts) {
    R elements[kPack<T>];
    op.load(keys + c * kBlock + place, kPack<T>, elements);
    for (int i = 0; i < kPack<T>; ++i) sums[i] = multiply_add(query[c], elements[i], sums[i]);
  }
  for (int i = 0; i < kPack<T>; ++i) {
    for (int distance = kWarp / 2; distance >= kAcross; distance /= 2)
      sums[i] += __shfl_xor_sync(kAllLanes, sums[i], distance);
    if (lane < kAcross) scores[place + i] = sums[i];
  }
}

// sums[c] = sum over the chunk's keys [begin, end) of weights[j] values[j, c]: a thread has some neighbouring columns
// of every `groups`th key, and the groups are joined in turn.
template <class T>
__device__ void weigh_values(const CachedHeads<T>& op, const T* values, const Real<T>* weights, int begin, int end,
                             Real<T>* sums) {
  using R = Real<T>;
  COXSWAIN_SHARED(R, parts, kDecodeThreads * kPack<T>);
  const int d = static_cast<int>(op.d), pieces = (d + kPack<T> - 1) / kPack<T>, groups = kDecodeThreads / pieces;
  const int thread = static_cast<int>(threadIdx.x), column = thread % pieces * kPack<T>;
  R totals[kPack<T>] = {};
  if (thread < groups * pieces) {
    COXSWAIN_UNROLL_BY(4)
    for (int j = begin + thread / pieces; j < end; j += groups) {
      R elements[kPack<T>];
      op.load(values + j * op.d + column, d - column, elements);
      for (int i = 0; i < kPack<T>; ++i) totals[i] = multiply_add(weights[j], elements[i], totals[i]);
    }
  }
  for (int i = 0; i < kPack<T>; ++i) parts[thread * kPack<T> + i] = totals[i];
  __syncthreads();
  for (int c = thread; c < d; c += kDecodeThreads) {
    R sum = 0;
    for (int group = 0; group < groups; ++group) sum += parts[group * pieces * kPack<T> + c];
    sums[c] = sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kDecodeThreads) cached_attention_kernel(CachedHeads<T> op) {
  using R = Real<T>;
  constexpr R kNone = -std::numeric_limits<R>::infinity();
  COXSWAIN_SHARED(R, query, kMostColumns);
  COXSWAIN_SHARED(R, weights, kChunk);
  const std::int64_t row = blockIdx.x, head = blockIdx.y, chunk = blockIdx.z, group = head / (op.heads / op.groups);
  const std::int64_t begin = chunk * kChunk, slot = op.slots[row], left = op.count(row) - begin;
  const int end = static_cast<int>(left < kChunk ? left : kChunk);  // of the keys of this chunk
  const int first = static_cast<int>(op.first(row) > begin ? op.first(row) - begin : 0);
  if (first >= end) return;  // the row sees none of these
  const int thread = static_cast<int>(threadIdx.x), block = thread / kWarp * static_cast<int>(kBlock);
  for (std::int64_t c = thread; c < op.d; c += kDecodeThreads) query[c] = load(op.q.at(row, head)[c]) * op.scale;
  __syncthreads();
  if (block < end && block + kBlock > first)
    score_block(op, op.keys.at(slot, group) + (begin + block) * op.d, query, weights + block);
  __syncthreads();
  R maximum = kNone;
  for (int j = thread; j < end; j += kDecodeThreads)
    if (j >= first) maximum = Greater()(maximum, weights[j]);
  maximum = join_block(maximum, Greater());
  R sum = 0;
  for (int j = thread; j < end; j += kDecodeThreads) {
    if (j < first) continue;
    weights[j] = exp_fast(weights[j] - maximum);
    sum += weights[j];
  }
  sum = join_block(sum, Add());  // whose barriers make the weights known to all
  R* sums = op.sums_of(row, head, chunk);
  weigh_values(op, op.values.at(slot, group) + begin * op.d, weights, first, end, sums);
  if (thread == 0) sums[op.d] = maximum, sums[op.d + 1] = sum;
}

// A block has one head of one row.
template <class T>
__global__ void __launch_bounds__(kDecodeThreads) join_chunks_kernel(CachedHeads<T> op) {
  using R = Real<T>;
  const std::int64_t row = blockIdx.x, head = blockIdx.y;
  const std::int64_t first = op.first(row) / kChunk, last = (op.count(row) - 1) / kChunk;
  R maximum = op.sums_of(row, head, first)[op.d];
  for (std::int64_t chunk = first + 1; chunk <= last; ++chunk)
    maximum = Greater()(maximum, op.sums_of(row, head, chunk)[op.d]);
  for (std::int64_t c = threadIdx.x; c < op.d; c += kDecodeThreads) {
    R total = 0, sum = 0;
    for (std::int64_t chunk = first; chunk <= last; ++chunk) {
      const R* sums = op.sums_of(row, head, chunk);
      const R factor = exp_fast(sums[op.d] - maximum);
      total = multiply_add(factor, sums[c], total);
      sum = multiply_add(factor, sums[op.d + 1], sum);
    }
    put(op.out.at(row, head)[c], total / sum);
  }
}

// Whether rows of both start at multiples of 16 bytes.
template <class T>
bool are_wide(const TensorView& a, const TensorView& b) {
  for (const TensorView* view : {&a, &b})
    if (reinterpret_cast<std::uintptr_t>(view->data) % 16 != 0 || view->strides[0] % kPack<T> != 0 ||
        view->strides[1] % kPack<T> != 0)
      return false;
  return true;
}

template <class T>
void attend(Backend& backend, cudaStream_t stream, const Backend::CachedAttention& op) {
  constexpr std::int64_t kMostScratch = std::int64_t{1} << 23;  // elements
  const std::int64_t rows = op.q.shape[0], d = op.q.shape[2];
  CachedHeads<T> work{Heads<T>(op.q),
                      Heads<T>(op.k),
                      Heads<T>(op.v),
                      Heads<T>(op.keys),
                      Heads<T>(op.values),
                      Heads<T>(op.out),
                      op.slots.as<std::int32_t>(),
                      op.positions.as<std::int32_t>(),
                      op.keys.shape[0],
                      op.keys.shape[2],
                      op.q.shape[1],
                      op.k.shape[1],
                      d,
                      op.band,
                      static_cast<Real<T>>(op.scale),
                      d % kPack<T> == 0 && are_wide<T>(op.keys, op.values)};
  strips<T>(stream, rows, work.groups * d, work.wide && are_wide<T>(op.k, op.v), AppendStrip<T>{work});
  const std::int64_t of_row = work.heads * work.chunks() * (d + 2);
  const std::int64_t step = std::clamp<std::int64_t>(kMostScratch / of_row, 1, rows);
  const Scratch<Real<T>> sums(backend, step * of_row);
  work.sums = sums.data();
  const unsigned heads = pieces(work.heads, 1), chunks = pieces(work.context, kChunk);
  for (std::int64_t row = 0; row < rows; row += step) {
    const unsigned some = pieces(std::min(step, rows - row), 1);
    launch(stream, {dim3(some, heads, chunks), dim3(kDecodeThreads)}, cached_attention_kernel<T>, work);
    launch(stream, {dim3(some, heads), dim3(kDecodeThreads)}, join_chunks_kernel<T>, work);
    work.q.data += step * work.q.row_stride, work.out.data += step * work.out.row_stride;
    work.slots += step, work.positions += step;
  }
}

}  // namespace

void CudaBackend::do_cached_attention(const CachedAttention& op) {
  if (op.q.elements() == 0) return;
  if (op.q.shape[2] > kMostColumns) throw std::invalid_argument("cached_attention: the head size is above 256");
  dispatch_type(op.q.dtype, [&](auto tag) { attend<typename decltype(tag)::type>(*this, stream(), op); });
}

}  // namespace coxswain
