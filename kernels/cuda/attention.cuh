// What attention forward and backward share: tiles of 32 queries and 32 keys in shared memory, which keys a query sees,
// and the products of tiles.
//
// A block has 128 threads, (ty, tx) of [16, 8]. Of a tile of scores a thread has rows 2 ty and 2 ty + 1 and columns
// tx, tx + 8, tx + 16 and tx + 24; of a tile of [32, d] results the same rows and columns tx, tx + 8, ...
#pragma once

#include <limits>
#include <stdexcept>

#include "kernels/cuda/common.cuh"

namespace coxswain::attention_tiles {

inline constexpr int kTile = 32, kTileThreads = 128, kAcross = 8;
inline constexpr int kRows = 2, kColumns = kTile / kAcross;  // of scores, a thread's
inline constexpr int kScoreStride = kTile + 1;               // between rows of scores, so that columns fall apart

// A view [b, t, heads, d] of any stride over b, t and heads.
template <class T>
struct Heads {
  T* data;
  std::int64_t b_stride, t_stride, head_stride;
  explicit Heads(const TensorView& view)
      : data(view.as<T>()), b_stride(view.strides[0]), t_stride(view.strides[1]), head_stride(view.strides[2]) {}
  __device__ T* at(std::int64_t sequence, std::int64_t token, std::int64_t head) const {
    return data + sequence * b_stride + token * t_stride + head * head_stride;
  }
};

// The keys that query i of a sequence sees are [first_key(i), i].
struct Visible {
  std::int64_t t, band;
  const std::int32_t* starts;  // [b, t] or null

  Visible(const AttentionMask& mask, std::int64_t length)
      : t(length),
        band(mask.band > 0 ? mask.band : length),
        starts(mask.document_start.empty() ? nullptr : mask.document_start.as<std::int32_t>()) {}
  __device__ std::int64_t first_key(std::int64_t sequence, std::int64_t query) const {
    const std::int64_t of_band = query - band + 1;
    const std::int64_t of_document = starts ? starts[sequence * t + query] : 0;
    return of_band > of_document ? of_band : of_document;
  }
  // The lowest key that a query of [begin, end) sees.
  __device__ std::int64_t first_key(std::int64_t sequence, std::int64_t begin, std::int64_t end) const {
    std::int64_t lowest = first_key(sequence, begin);
    for (std::int64_t query = begin + 1; query < end; ++query) {
      const std::int64_t first = first_key(sequence, query);
      lowest = first < lowest ? first : lowest;
    }
    return lowest;
  }
  __device__ bool sees(std::int64_t sequence, std::int64_t query, std::int64_t key) const {
    return query < t && key <= query && key >= first_key(sequence, query);
  }
};

struct Extents {
  std::int64_t b, t, a, g, d;
  Extents(const TensorView& q, const TensorView& k)
      : b(q.shape[0]), t(q.shape[1]), a(q.shape[2]), g(k.shape[2]), d(q.shape[3]) {}
  __host__ __device__ unsigned tiles() const { return static_cast<unsigned>((t + kTile - 1) / kTile); }
  __device__ std::int64_t kv_head(std::int64_t head) const { return head / (a / g); }
};

// What the kernels of attention's backward are told.
template <class T>
struct Gradient {
  Heads<T> q, k, v, out, dout, dq, dk, dv;
  Extents extents;
  Visible visible;
  Real<T> scale;
  const Real<T>* log_sum_exp;  // [b, a, t]
  Real<T>* delta;              // scratch [b, a, t]: sum of dout out

  Gradient(const Backend::AttentionGradient& call, Real<T>* scratch)
      : q(call.q),
        k(call.k),
        v(call.v),
        out(call.out),
        dout(call.dout),
        dq(call.dq),
        dk(call.dk),
        dv(call.dv),
        extents(call.q, call.k),
        visible(call.mask, extents.t),
        scale(static_cast<Real<T>>(call.scale)),
        log_sum_exp(call.log_sum_exp.as<Real<T>>()),
        delta(scratch) {}
  __device__ std::int64_t row(std::int64_t sequence, std::int64_t head, std::int64_t token) const {
    return (sequence * extents.a + head) * extents.t + token;
  }
};

// Elements of shared memory between rows of a [32, d] tile: odd, so that a column's elements fall into other banks.
__host__ __device__ inline std::int64_t row_stride(std::int64_t d) { return d | 1; }

template <class T>
__device__ void load_tile(const Heads<T>& from, std::int64_t sequence, std::int64_t head, std::int64_t first,
                          const Extents& extents, Real<T>* tile) {
  for (std::int64_t i = threadIdx.x; i < kTile * extents.d; i += kTileThreads) {
    const std::int64_t row = i / extents.d, c = i % extents.d;
    tile[row * row_stride(extents.d) + c] =
        first + row < extents.t ? load(from.at(sequence, first + row, head)[c]) : Real<T>(0);
  }
}

__device__ inline int first_row() { return static_cast<int>(threadIdx.x) / kAcross * kRows; }
__device__ inline int first_column() { return static_cast<int>(threadIdx.x) % kAcross; }

// scores[i][j] = a_row b_column for the thread's rows of tile a and columns of tile b.
template <class R>
__device__ void score_tile(const R* a, const R* b, std::int64_t d, R (&scores)[kRows][kColumns]) {
  const std::int64_t stride = row_stride(d);
  for (auto& row : scores)
    for (R& score : row) score = 0;
  for (std::int64_t c = 0; c < d; ++c)
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kColumns; ++j)
        scores[i][j] = multiply_add(a[(first_row() + i) * stride + c], b[(first_column() + kAcross * j) * stride + c],
                                    scores[i][j]);
}

// results[i][m] += sum over l of weight(row, l) tile[l][column], for the thread's rows and columns of [32, d].
template <class R, int width, class Weight>
__device__ void add_product(const Weight& weight, const R* tile, std::int64_t d, R (&results)[kRows][width]) {
  for (int l = 0; l < kTile; ++l)
    for (int i = 0; i < kRows; ++i) {
      const R factor = weight(first_row() + i, l);
      for (int m = 0; m < width; ++m) {
        const int c = first_column() + kAcross * m;
        if (c < d) results[i][m] = multiply_add(factor, tile[l * row_stride(d) + c], results[i][m]);
      }
    }
}

// The thread's part of a [32, d] tile of results, each row times scale(i).
template <class T, int width, class Scale>
__device__ void store_tile(const Real<T> (&results)[kRows][width], const Heads<T>& to, std::int64_t sequence,
                           std::int64_t head, std::int64_t first, const Extents& extents, const Scale& scale) {
  for (int i = 0; i < kRows; ++i) {
    const std::int64_t token = first + first_row() + i;
    if (token >= extents.t) continue;
    T* row = to.at(sequence, token, head);
    for (int m = 0; m < width; ++m) {
      const int c = first_column() + kAcross * m;
      if (c < extents.d) put(row[c], results[i][m] * scale(i));
    }
  }
}

// Calls body(width) with the number of a thread's columns of [32, d] as a constant.
template <int width>
struct Width {
  static constexpr int value = width;
};
template <class Body>
void dispatch_width(const char* operation, std::int64_t d, const Body& body) {
  if (d <= 64) return body(Width<64 / kAcross>{});
  if (d <= 128) return body(Width<128 / kAcross>{});
  if (d <= 256) return body(Width<256 / kAcross>{});
  throw std::invalid_argument(std::string(operation) + ": the head size " + std::to_string(d) + " is above 256");
}

}  // namespace coxswain::attention_tiles
