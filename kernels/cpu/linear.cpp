// Matrix products of the linear layers and their gradients.
//
// A result is cut into tiles whose shape follows from the product's m, n and k alone; one thread computes a tile with
// TileGemm into a dense buffer of its own (a product that stores into rows far apart was measured at two thirds of the
// rate) and, while the tile is in its cache, adds the bias, applies the activation and stores it. So the bits of an
// element do not depend on which thread had its tile, nor on how many there were.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/tile_gemm.h"

namespace coxswain {
namespace {

struct Tiling {
  std::int64_t rows = 0, columns = 0, depth = 0;
};

std::int64_t pieces(std::int64_t extent, std::int64_t piece) { return (extent + piece - 1) / piece; }

// Among tiles that the product runs well on, the one that leaves least idle when 2, 4 or 8 threads share the work.
Tiling choose_tiling(std::int64_t m, std::int64_t n, std::int64_t k) {
  struct Candidate {
    std::int64_t rows, columns;
    double rate;  // measured, relative
  };
  constexpr std::array<Candidate, 8> kCandidates = {{{256, 384, 1.0},
                                                     {512, 384, 1.02},
                                                     {256, 256, 0.97},
                                                     {256, 192, 0.94},
                                                     {256, 128, 0.9},
                                                     {128, 256, 0.86},
                                                     {64, 256, 0.75},
                                                     {64, 128, 0.7}}};
  Tiling best;
  double best_rate = 0;
  for (const Candidate& candidate : kCandidates) {
    const std::int64_t rows = std::min(candidate.rows, m), columns = std::min(candidate.columns, n);
    const std::int64_t tiles = pieces(m, rows) * pieces(n, columns);
    const double filled = static_cast<double>(m * n) / static_cast<double>(tiles * rows * columns);
    double balance = 0;
    for (const auto& [threads, weight] : {std::pair(2, 0.6), std::pair(4, 0.25), std::pair(8, 0.15)})
      balance += weight * static_cast<double>(tiles) / static_cast<double>(pieces(tiles, threads) * threads);
    const double rate = candidate.rate * balance * filled;
    if (rate > best_rate * 1.001) best_rate = rate, best = {rows, columns, 0};
  }
  constexpr std::int64_t kDepth = 4096;  // deeper products are summed in parts that keep both factors in the cache
  best.depth = k <= kDepth + kDepth / 2 ? k : kDepth;
  return best;
}

// One thread's buffer for the tile in work, on cache lines.
void* tile_buffer(std::size_t bytes) {
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  thread_local std::unique_ptr<void, Free> memory;
  thread_local std::size_t size = 0;
  if (size < bytes) {
    const std::size_t rounded = (bytes + 4095) / 4096 * 4096;
    memory.reset(std::aligned_alloc(4096, rounded));
    if (!memory) throw std::bad_alloc();
    size = rounded;
  }
  return memory.get();
}

// A factor as the product sees it: element (i, j) of the factor at i * row + j * column of the view's memory.
struct Factor {
  const TensorView& view;
  std::int64_t row, column;

  const void* at(std::int64_t i, std::int64_t j) const {
    return static_cast<const char*>(view.data) + static_cast<std::size_t>(i * row + j * column) * size_of(view.dtype);
  }
};

struct Tile {
  std::int64_t row, column, rows, columns;
  const void* data;  // [rows, columns] dense
};

// C [m, n] = A B, tile by tile: finish(tile) takes each finished tile of type `result` where it was computed.
template <class Finish>
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const Factor& a, const Factor& b, DType result,
              const Finish& finish) {
  if (m == 0 || n == 0) return;
  const Tiling tiling = choose_tiling(m, n, k);
  const std::int64_t tile_rows = pieces(m, tiling.rows), tiles = tile_rows * pieces(n, tiling.columns);
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const std::int64_t i = tile % tile_rows * tiling.rows, j = tile / tile_rows * tiling.columns;
    TileGemmShape shape;
    shape.m = std::min(tiling.rows, m - i), shape.n = std::min(tiling.columns, n - j);
    shape.a_row = a.row, shape.a_column = a.column, shape.b_row = b.row, shape.b_column = b.column;
    shape.c_row = shape.n;
    shape.a = a.view.dtype, shape.b = b.view.dtype;
    shape.c = k > tiling.depth && result == DType::bf16 ? DType::f32 : result;
    void* c = tile_buffer(static_cast<std::size_t>(tiling.rows * tiling.columns) * size_of(shape.c));
    for (std::int64_t l = 0; l < k; l += tiling.depth) {
      shape.k = std::min(tiling.depth, k - l);
      shape.accumulate = l > 0;
      TileGemm::get(shape).run(a.at(i, l), b.at(l, j), c);
    }
    finish(Tile{i, j, shape.m, shape.n, c}, shape.c);
  }
}

template <class T>
T* row_of(const TensorView& view, std::int64_t row, std::int64_t column) {
  return view.as<T>() + row * view.strides[0] + column;
}

DType sum_type(DType working) { return working == DType::f64 ? DType::f64 : DType::f32; }

void copy_tile(const Tile& tile, const TensorView& to) {
  const std::size_t bytes = static_cast<std::size_t>(tile.columns) * size_of(to.dtype);
  for (std::int64_t r = 0; r < tile.rows; ++r)
    std::memcpy(static_cast<char*>(to.data) +
                    static_cast<std::size_t>((tile.row + r) * to.strides[0] + tile.column) * size_of(to.dtype),
                static_cast<const char*>(tile.data) + static_cast<std::size_t>(r) * bytes, bytes);
}

// y = tile + bias; activated = activation(y before it is rounded)
template <Activation kind, class T>
void store_tile(const Tile& tile, const TensorView& bias, const TensorView& y, const TensorView& activated) {
  using R = Real<T>;
  constexpr std::int64_t kWidest = 1024;
  std::array<R, kWidest> shift;
  for (std::int64_t c = 0; c < tile.columns; ++c) {
    const std::int64_t index = tile.column + c;
    R& value = shift[static_cast<std::size_t>(c)];
    if (!bias) {
      value = 0;
    } else if (bias.dtype == DType::bf16) {
      value = static_cast<R>(static_cast<float>(bias.as<bf16>()[index]));
    } else {
      value = bias.as<R>()[index];
    }
  }
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const R* from = static_cast<const R*>(tile.data) + r * tile.columns;
    const R* add = shift.data();
    T* to = row_of<T>(y, tile.row + r, tile.column);
    if constexpr (kind == Activation::none) {
#pragma omp simd
      for (std::int64_t c = 0; c < tile.columns; ++c) to[c] = store<T>(from[c] + add[c]);
    } else {
      T* active = row_of<T>(activated, tile.row + r, tile.column);
#pragma omp simd
      for (std::int64_t c = 0; c < tile.columns; ++c) {
        const R value = from[c] + add[c];
        to[c] = store<T>(value);
        active[c] = store<T>(apply<kind>(value));
      }
    }
  }
}

// dx = tile * activation'(pre_activation)
template <Activation kind, class T>
void store_gradient_tile(const Tile& tile, const TensorView& pre_activation, const TensorView& dx) {
  using R = Real<T>;
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const R* from = static_cast<const R*>(tile.data) + r * tile.columns;
    T* to = row_of<T>(dx, tile.row + r, tile.column);
    if constexpr (kind == Activation::none) {
#pragma omp simd
      for (std::int64_t c = 0; c < tile.columns; ++c) to[c] = store<T>(from[c]);
    } else {
      const T* pre = row_of<T>(pre_activation, tile.row + r, tile.column);
#pragma omp simd
      for (std::int64_t c = 0; c < tile.columns; ++c) to[c] = store<T>(from[c] * apply_gradient<kind>(load(pre[c])));
    }
  }
}

template <class R>
void add_tile(const Tile& tile, const TensorView& dw) {
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const R* from = static_cast<const R*>(tile.data) + r * tile.columns;
    R* to = row_of<R>(dw, tile.row + r, tile.column);
#pragma omp simd
    for (std::int64_t c = 0; c < tile.columns; ++c) to[c] += from[c];
  }
}

}  // namespace

void CpuBackend::do_linear(TensorView x, TensorView w, TensorView y, const LinearEpilogue& epilogue) {
  const bool plain = epilogue.bias.empty() && epilogue.activation == Activation::none;
  const DType result = plain ? y.dtype : sum_type(x.dtype);
  multiply(x.shape[0], w.shape[0], x.shape[1], {x, x.strides[0], 1}, {w, 1, w.strides[0]}, result,
           [&](const Tile& tile, DType type) {
             if (plain && type == y.dtype) return copy_tile(tile, y);
             dispatch_type(y.dtype, [&](auto element) {
               using T = typename decltype(element)::type;
               dispatch(epilogue.activation,
                        [&](auto tag) { store_tile<tag.value, T>(tile, epilogue.bias, y, epilogue.activated); });
             });
           });
}

void CpuBackend::do_linear_input_gradient(TensorView dy, TensorView w, TensorView dx,
                                          const GradientEpilogue& epilogue) {
  const bool plain = epilogue.activation == Activation::none;
  const DType result = plain ? dx.dtype : sum_type(dy.dtype);
  multiply(dy.shape[0], w.shape[1], dy.shape[1], {dy, dy.strides[0], 1}, {w, w.strides[0], 1}, result,
           [&](const Tile& tile, DType type) {
             if (plain && type == dx.dtype) return copy_tile(tile, dx);
             dispatch_type(dx.dtype, [&](auto element) {
               using T = typename decltype(element)::type;
               dispatch(epilogue.activation,
                        [&](auto tag) { store_gradient_tile<tag.value, T>(tile, epilogue.pre_activation, dx); });
             });
           });
}

void CpuBackend::do_linear_weight_gradient(TensorView dy, TensorView x, TensorView dw) {
  if (dy.shape[0] == 0) return;
  multiply(dw.shape[0], dw.shape[1], dy.shape[0], {dy, 1, dy.strides[0]}, {x, x.strides[0], 1}, dw.dtype,
           [&](const Tile& tile, DType) {
             dw.dtype == DType::f64 ? add_tile<double>(tile, dw) : add_tile<float>(tile, dw);
           });
}

}  // namespace coxswain
