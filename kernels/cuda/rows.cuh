// A row that threads share: a warp (several rows to a block) or a whole block. Where it is not too long it stays in
// their registers between one pass over it and the next, and all of it is asked for before any of it is used.
//
// A thread has every `threads`-th strip of sixteen bytes. How many threads there are follows from the row's length
// alone, so that a sum has one order wherever the row lies and however many rows there are.
#pragma once

#include "kernels/cuda/strips.cuh"

namespace coxswain {

inline constexpr int kStripsInRegisters = 4;  // of one thread
inline constexpr int kMostRowThreads = 256;
// Of one thread, in registers: rows of 768, 3072 and 12288 bf16 fit.
constexpr int kept_strips(int threads) { return threads == kMostRowThreads ? 6 : 3; }
constexpr int block_of_rows(int threads) { return threads == kWarp ? kThreads : threads; }
// Blocks that a multiprocessor should hold at least: what one row waits for others hide.
constexpr int resident_blocks(int threads) { return threads == kWarp ? 3 : threads == kMostRowThreads ? 2 : 6; }

// The sums over a row's threads, on all of them: a tree in each warp, then warp after warp. Each call in a kernel has
// another `place`: nobody need wait for the readers of the last one.
template <int threads, int place, int count, class R>
__device__ void add_up(R (&sums)[count]) {
  COXSWAIN_UNROLL
  for (R& sum : sums) sum = join_warp(sum, Add());
  if constexpr (threads > kWarp) {
    constexpr int kWarps = threads / kWarp;
    COXSWAIN_SHARED(R, of_warps, count * kWarps);
    if (threadIdx.x % kWarp == 0) {
      COXSWAIN_UNROLL
      for (int i = 0; i < count; ++i) of_warps[i * kWarps + static_cast<int>(threadIdx.x) / kWarp] = sums[i];
    }
    __syncthreads();
    COXSWAIN_UNROLL
    for (int i = 0; i < count; ++i) {
      sums[i] = of_warps[i * kWarps];
      COXSWAIN_UNROLL
      for (int warp = 1; warp < kWarps; ++warp) sums[i] += of_warps[i * kWarps + warp];
    }
  }
}

// One thread's strips of a row of n elements. strips == 0: nothing is kept, and each pass reads the row again, as it
// must be where it is long or (not `wide`) does not lie at multiples of sixteen bytes.
template <class T, int threads, int strips, bool wide>
class RowPart {
 public:
  static constexpr int kWidth = kPack<T>, kRowsInBlock = threads == kWarp ? kThreads / kWarp : 1;
  static_assert(strips == 0 || wide);

  // The row of this thread; there may be none.
  __device__ static std::int64_t row() {
    if constexpr (kRowsInBlock == 1) return blockIdx.x;
    return std::int64_t{blockIdx.x} * kRowsInBlock + threadIdx.x / threads;
  }
  __device__ static bool is_first() { return threadIdx.x % threads == 0; }

  // `row` may be null: then nothing is read, and at() must not be called.
  __device__ RowPart(const T* row, int n) : from_(row), n_(n) {
    COXSWAIN_UNROLL
    for (int place = 0; place < strips; ++place)
      if (row != nullptr && column(place) < n) words_[place] = ptx::load_wide(row + column(place));
  }
  // body.operator()<width>(column, place) for what this thread has of the row.
  template <class Body>
  __device__ void each(const Body& body) const {
    if constexpr (strips > 0) {
      COXSWAIN_UNROLL
      for (int place = 0; place < strips; ++place)
        if (column(place) < n_) body.template operator()<kWidth>(column(place), place);
    } else {
      for (int first = column(0); first < n_; first += threads * kWidth) {
        if constexpr (wide) {
          body.template operator()<kWidth>(first, 0);
        } else {
          for (int c = first; c < n_ && c < first + kWidth; ++c) body.template operator()<1>(c, 0);
        }
      }
    }
  }
  template <int width>
  __device__ Strip<T, width> at(int c, int place) const {
    if constexpr (strips > 0) return Strip<T, width>(words_[place]);
    return Strip<T, width>(from_ + c);
  }
  // Before one more pass: what the last one made of the values is not kept beside them.
  __device__ void renew() {
    COXSWAIN_UNROLL
    for (int place = 0; place < strips; ++place) words_[place] = ptx::anew(words_[place]);
  }
  // New values, rounded to T: they reach the row `to` at once where nothing is kept, else with write().
  template <int width>
  __device__ void put(T* to, int c, int place, const Strip<T, width>& values) {
    if constexpr (strips > 0) {
      words_[place] = values.words();
    } else {
      values.store(to + c);
    }
  }
  // All that was put is in the row `to`, and read from there.
  __device__ void write(T* to) {
    COXSWAIN_UNROLL
    for (int place = 0; place < strips; ++place)
      if (column(place) < n_) ptx::store_wide(to + column(place), words_[place]);
    from_ = to;
  }

 private:
  __device__ static int column(int place) {
    return (place * threads + static_cast<int>(threadIdx.x) % threads) * kWidth;
  }

  const T* from_;
  int n_;
  uint4 words_[strips > 0 ? strips : 1];  // of sixteen bytes: the compiler would take smaller elements apart
};

// Calls body.operator()<threads, strips, wide>() for rows of n elements.
template <class T, class Body>
void dispatch_row(std::int64_t n, bool wide, const Body& body) {
  const std::int64_t strips = (n + kPack<T> - 1) / kPack<T>;
  const auto with = [&]<int threads>() {
    if constexpr (sizeof(T) < sizeof(double)) {  // double serves tests
      if (wide && strips <= kept_strips(threads) * threads)
        return body.template operator()<threads, kept_strips(threads), true>();
      if constexpr (threads == kMostRowThreads)
        if (wide) return body.template operator()<threads, 0, true>();
    }
    body.template operator()<threads, 0, false>();
  };
  if (strips <= kept_strips(kWarp) * kWarp) return with.template operator()<kWarp>();
  if (strips <= kept_strips(128) * 128) return with.template operator()<128>();
  with.template operator()<kMostRowThreads>();
}

// One row to `threads` threads.
template <int threads>
LaunchShape rows_shape(std::int64_t rows) {
  return threads == kWarp ? LaunchShape{dim3(pieces(rows, kThreads / kWarp))}
                          : LaunchShape{dim3(pieces(rows, 1)), dim3(threads)};
}

}  // namespace coxswain
