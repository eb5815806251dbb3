// Attention of single rows to what is cached of their texts: out = sum_j p_j v_j, p = softmax(scale q k_j) over the
// keys j that the row's position sees, in chunks of 128 keys in order with a running maximum and sum.
//
// Keys lie in blocks of 64 as [block, d, 64], so that neighbouring threads read neighbouring keys; values lie as
// [context, d]. A block of threads has one head of one row: its order is its own. Floor: the text's keys and values
// through memory once for each query head.
#include <limits>
#include <stdexcept>

#include "kernels/cuda/common.cuh"

namespace coxswain {
namespace {

constexpr std::int64_t kBlock = Backend::kCacheBlock;
constexpr int kChunk = 128;        // keys, and threads
constexpr int kMostColumns = 256;  // of a head

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
  Heads<T> q, k, v, keys, values, out;
  const std::int32_t *slots, *positions;
  std::int64_t slot_count, context, heads, groups, d, band;
  Real<T> scale;
};

template <class T>
struct AppendElement {
  CachedHeads<T> op;

  __device__ void operator()(std::int64_t row, std::int64_t i) const {
    const std::int64_t slot = op.slots[row], position = op.positions[row], group = i / op.d, c = i % op.d;
    if (slot < 0 || slot >= op.slot_count || position < 0 || position >= op.context) __trap();
    op.keys.at(slot, group)[position / kBlock * kBlock * op.d + c * kBlock + position % kBlock] =
        op.k.at(row, group)[c];
    op.values.at(slot, group)[position * op.d + c] = op.v.at(row, group)[c];
  }
};

template <class T>
__global__ void __launch_bounds__(kChunk) cached_attention_kernel(CachedHeads<T> op) {
  using R = Real<T>;
  constexpr R kNone = -std::numeric_limits<R>::infinity();
  COXSWAIN_SHARED(R, query, kMostColumns);
  COXSWAIN_SHARED(R, weights, kChunk);
  const std::int64_t row = blockIdx.x, head = blockIdx.y, group = head / (op.heads / op.groups);
  const std::int64_t slot = op.slots[row], count = op.positions[row] + std::int64_t{1};
  const std::int64_t first = op.band > 0 && count > op.band ? count - op.band : 0;
  const int thread = threadIdx.x;
  for (std::int64_t c = thread; c < op.d; c += kChunk) query[c] = load(op.q.at(row, head)[c]) * op.scale;
  __syncthreads();
  const T *keys = op.keys.at(slot, group), *values = op.values.at(slot, group);
  R maximum = kNone, sum = 0, totals[kMostColumns / kChunk] = {};
  for (std::int64_t chunk = first / kChunk * kChunk; chunk < count; chunk += kChunk) {
    const std::int64_t j = chunk + thread;
    R score = kNone;
    if (j >= first && j < count) {
      const T* key = keys + j / kBlock * kBlock * op.d + j % kBlock;
      score = 0;
      for (std::int64_t c = 0; c < op.d; ++c) score = multiply_add(query[c], R(load(key[c * kBlock])), score);
    }
    const R highest = Greater()(maximum, join_block(score, Greater()));
    const R rescale = exp_fast(maximum - highest), weight = exp_fast(score - highest);
    weights[thread] = weight;
    sum = multiply_add(sum, rescale, join_block(weight, Add()));  // whose barriers make the weights known to all
    maximum = highest;
    const std::int64_t begin = chunk < first ? first - chunk : 0;
    const std::int64_t end = count - chunk < kChunk ? count - chunk : kChunk;
    for (int part = 0; part < kMostColumns / kChunk; ++part) {
      const std::int64_t c = part * kChunk + thread;
      if (c >= op.d) break;
      R total = totals[part] * rescale;
      for (std::int64_t i = begin; i < end; ++i)
        total = multiply_add(weights[i], R(load(values[(chunk + i) * op.d + c])), total);
      totals[part] = total;
    }
    __syncthreads();  // before the next weights
  }
  for (int part = 0; part < kMostColumns / kChunk; ++part) {
    const std::int64_t c = part * kChunk + thread;
    if (c < op.d) put(op.out.at(row, head)[c], totals[part] / sum);
  }
}

}  // namespace

void CudaBackend::do_cached_attention(const CachedAttention& op) {
  if (op.q.elements() == 0) return;
  const std::int64_t rows = op.q.shape[0], d = op.q.shape[2];
  if (d > kMostColumns) throw std::invalid_argument("cached_attention: the head size is above 256");
  dispatch_type(op.q.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const CachedHeads<T> work{Heads<T>(op.q),
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
                              static_cast<Real<T>>(op.scale)};
    elementwise(stream(), rows, work.groups * d, AppendElement<T>{work});
    launch(stream(), {dim3(pieces(rows, 1), pieces(work.heads, 1)), dim3(kChunk)}, cached_attention_kernel<T>, work);
  });
}

}  // namespace coxswain
