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
#include "kernels/cpu/transpose.h"

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
  // Deeper products are summed in parts that keep both factors in the cache.
  constexpr std::int64_t kDeepest = 6144, kDepth = 1024;
  best.depth = k <= kDeepest ? k : kDepth;
  return best;
}

// Memory of a thread that grows to the largest size asked for and is kept, on a page.
class KeptBuffer {
 public:
  void* get(std::size_t bytes) {
    if (size_ < bytes) {
      size_ = (bytes + kPage - 1) / kPage * kPage;
      memory_.reset();
      memory_.reset(std::aligned_alloc(kPage, size_));
      if (!memory_) throw std::bad_alloc();
    }
    return memory_.get();
  }

 private:
  static constexpr std::size_t kPage = 4096;
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  std::size_t size_ = 0;
};

void* tile_buffer(std::size_t bytes) {
  thread_local KeptBuffer buffer;
  return buffer.get(bytes);
}

// A factor as the product sees it: element (i, j) of the factor at i * row + j * column of the view's memory.
struct Factor {
  const void* data;
  DType dtype;
  std::int64_t row, column;

  const void* at(std::int64_t i, std::int64_t j) const {
    return static_cast<const char*>(data) + static_cast<std::size_t>(i * row + j * column) * size_of(dtype);
  }
  Factor from(std::int64_t i, std::int64_t j) const { return {at(i, j), dtype, row, column}; }
};
Factor as_stored(const TensorView& view) { return {view.data, view.dtype, view.strides[0], 1}; }
Factor transposed(const TensorView& view) { return {view.data, view.dtype, 1, view.strides[0]}; }

// A dense copy of rows with gaps, in memory of this thread.
const void* gather(const Factor& from, std::int64_t rows, std::int64_t columns) {
  thread_local KeptBuffer buffer;
  const std::size_t bytes = static_cast<std::size_t>(columns) * size_of(from.dtype);
  char* to = static_cast<char*>(buffer.get(static_cast<std::size_t>(rows) * bytes));
  for (std::int64_t r = 0; r < rows; ++r) {
    const char* next = static_cast<const char*>(from.at(r + 1, 0));
    for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(next + i);
    std::memcpy(to + static_cast<std::size_t>(r) * bytes, from.at(r, 0), bytes);
  }
  return to;
}

struct Tile {
  std::int64_t row, column, rows, columns;
  const void* data;  // [rows, columns] dense
};

// C [m, n] = A B, tile by tile: finish(tile) takes each finished tile of type `result` where it was computed. A bf16
// B that is dense in rows is packed first, panel by panel, where more than one row of tiles will read it: measured half
// as fast again, while FP32 and a B that is dense in columns gained nothing.
template <class Finish>
void multiply_strip(const Tiling& tiling, std::int64_t m, std::int64_t n, std::int64_t k, const Factor& a,
                    const Factor& b, DType result, const Finish& finish) {
  const std::int64_t tile_rows = pieces(m, tiling.rows), panels = pieces(n, tiling.columns);
  const DType type = k > tiling.depth && result == DType::bf16 ? DType::f32 : result;
  // Parts of A's rows have gaps between them, which a packed B does not allow: each tile's are copied together
  // (measured a sixth faster than leaving B unpacked).
  const bool gathers = tile_rows > 1 && k > tiling.depth && a.column == 1 && a.dtype == DType::bf16 && b.column == 1;
  const auto shape_of = [&](std::int64_t i, std::int64_t j, std::int64_t l) {
    TileGemmShape shape;
    shape.m = std::min(tiling.rows, m - i), shape.n = std::min(tiling.columns, n - j);
    shape.k = std::min(tiling.depth, k - l);
    shape.a_row = gathers ? shape.k : a.row, shape.a_column = a.column, shape.b_row = b.row, shape.b_column = b.column;
    shape.c_row = shape.n;
    shape.a = a.dtype, shape.b = b.dtype, shape.c = type;
    shape.accumulate = l > 0;
    if (tile_rows > 1 && a.column == 1 && shape.a_row == shape.k && b.column == 1 && b.dtype == DType::bf16)
      shape.packed_for = tiling.rows;
    return shape;
  };
  const std::size_t panel_bytes = (TileGemm::get(shape_of(0, 0, 0)).packed_bytes() + 63) / 64 * 64;
  const bool packs = panel_bytes > 0;
  const std::int64_t depths = pieces(k, tiling.depth);
  thread_local KeptBuffer panel_buffer;
  char* packed =
      packs ? static_cast<char*>(panel_buffer.get(panel_bytes * static_cast<std::size_t>(panels * depths))) : nullptr;
  const auto panel = [=](std::int64_t j, std::int64_t depth) {
    return packed + panel_bytes * static_cast<std::size_t>(j * depths + depth);
  };
#pragma omp parallel
  {
    if (packs) {
#pragma omp for schedule(dynamic)
      for (std::int64_t index = 0; index < panels * depths; ++index) {
        const std::int64_t j = index / depths, depth = index % depths;
        TileGemm::get(shape_of(0, j * tiling.columns, depth * tiling.depth))
            .pack(b.at(depth * tiling.depth, j * tiling.columns), panel(j, depth));
      }
    }
#pragma omp for schedule(dynamic)
    for (std::int64_t tile = 0; tile < tile_rows * panels; ++tile) {
      const std::int64_t i = tile % tile_rows * tiling.rows, j = tile / tile_rows * tiling.columns;
      void* c = tile_buffer(static_cast<std::size_t>(tiling.rows * tiling.columns) * size_of(type));
      for (std::int64_t depth = 0; depth < depths; ++depth) {
        const std::int64_t l = depth * tiling.depth;
        const TileGemmShape shape = shape_of(i, j, l);
        const void* rows = gathers ? gather(a.from(i, l), shape.m, shape.k) : a.at(i, l);
        TileGemm::get(shape).run(rows, packs ? panel(tile / tile_rows, depth) : b.at(l, j), c);
      }
      finish(Tile{i, j, std::min(tiling.rows, m - i), std::min(tiling.columns, n - j), c}, type);
    }
  }
}

// The same in strips of columns, so that the packed B stays within some megabytes.
template <class Finish>
void multiply(std::int64_t m, std::int64_t n, std::int64_t k, const Factor& a, const Factor& b, DType result,
              const Finish& finish) {
  if (m == 0 || n == 0) return;
  constexpr std::int64_t kStripElements = std::int64_t{1} << 23;
  const Tiling tiling = choose_tiling(m, n, k);
  const std::int64_t strip = std::max<std::int64_t>(8, kStripElements / (tiling.columns * k)) * tiling.columns;
  for (std::int64_t first = 0; first < n; first += strip)
    multiply_strip(tiling, m, std::min(strip, n - first), k, a, b.from(0, first), result, [&](Tile tile, DType type) {
      tile.column += first;
      finish(tile, type);
    });
}

template <class T>
T* row_of(const TensorView& view, std::int64_t row, std::int64_t column) {
  return view.as<T>() + row * view.strides[0] + column;
}

// The lines of a row that is written (or read and written) some rows from now.
constexpr std::int64_t kRowsAhead = 4;
void prefetch_row(const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t columns) {
  const char* line = static_cast<const char*>(view.data) +
                     static_cast<std::size_t>(row * view.strides[0] + column) * size_of(view.dtype);
  const std::int64_t bytes = columns * static_cast<std::int64_t>(size_of(view.dtype));
  for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(line + i, 1);
}

DType sum_type(DType working) { return working == DType::f64 ? DType::f64 : DType::f32; }

void copy_tile(const Tile& tile, const TensorView& to) {
  const std::size_t bytes = static_cast<std::size_t>(tile.columns) * size_of(to.dtype);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    prefetch_row(to, tile.row + r + kRowsAhead, tile.column, tile.columns);
    std::memcpy(static_cast<char*>(to.data) +
                    static_cast<std::size_t>((tile.row + r) * to.strides[0] + tile.column) * size_of(to.dtype),
                static_cast<const char*>(tile.data) + static_cast<std::size_t>(r) * bytes, bytes);
  }
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
    prefetch_row(y, tile.row + r + kRowsAhead, tile.column, tile.columns);
    if constexpr (kind == Activation::none) {
#pragma omp simd
      for (std::int64_t c = 0; c < tile.columns; ++c) put(to[c], from[c] + add[c]);
    } else {
      T* active = row_of<T>(activated, tile.row + r, tile.column);
      prefetch_row(activated, tile.row + r + kRowsAhead, tile.column, tile.columns);
#pragma omp simd
      for (std::int64_t c = 0; c < tile.columns; ++c) {
        const R value = from[c] + add[c];
        put(to[c], value);
        put(active[c], apply<kind>(value));
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
    prefetch_row(dx, tile.row + r + kRowsAhead, tile.column, tile.columns);
    if constexpr (kind == Activation::none) {
#pragma omp simd
      for (std::int64_t c = 0; c < tile.columns; ++c) put(to[c], from[c]);
    } else {
      const T* pre = row_of<T>(pre_activation, tile.row + r, tile.column);
      prefetch_row(pre_activation, tile.row + r + kRowsAhead, tile.column, tile.columns);
#pragma omp simd
      for (std::int64_t c = 0; c < tile.columns; ++c) put(to[c], from[c] * apply_gradient<kind>(load(pre[c])));
    }
  }
}

template <class R>
void add_tile(const Tile& tile, const TensorView& dw) {
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const R* from = static_cast<const R*>(tile.data) + r * tile.columns;
    R* to = row_of<R>(dw, tile.row + r, tile.column);
    prefetch_row(dw, tile.row + r + kRowsAhead, tile.column, tile.columns);
#pragma omp simd
    for (std::int64_t c = 0; c < tile.columns; ++c) to[c] += from[c];
  }
}

}  // namespace

void CpuBackend::do_linear(TensorView x, TensorView w, TensorView y, const LinearEpilogue& epilogue) {
  const bool plain = epilogue.bias.empty() && epilogue.activation == Activation::none;
  const DType result = plain ? y.dtype : sum_type(x.dtype);
  multiply(x.shape[0], w.shape[0], x.shape[1], as_stored(x), transposed(w), result, [&](const Tile& tile, DType type) {
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
  multiply(dy.shape[0], w.shape[1], dy.shape[1], as_stored(dy), as_stored(w), result,
           [&](const Tile& tile, DType type) {
             if (plain && type == dx.dtype) return copy_tile(tile, dx);
             dispatch_type(dx.dtype, [&](auto element) {
               using T = typename decltype(element)::type;
               dispatch(epilogue.activation,
                        [&](auto tag) { store_gradient_tile<tag.value, T>(tile, epilogue.pre_activation, dx); });
             });
           });
}

// In strips of dw's rows, so that dy^T stays within some megabytes.
void CpuBackend::do_linear_weight_gradient(TensorView dy, TensorView x, TensorView dw) {
  const std::int64_t tokens = dy.shape[0], outputs = dw.shape[0];
  if (tokens == 0) return;
  if (dy.dtype == DType::f64)
    return multiply(outputs, dw.shape[1], tokens, transposed(dy), as_stored(x), DType::f64,
                    [&](const Tile& tile, DType) { add_tile<double>(tile, dw); });
  constexpr std::int64_t kStripElements = std::int64_t{1} << 23, kStripRows = 1024;
  const std::int64_t strip = std::max<std::int64_t>(1, kStripElements / (kStripRows * tokens)) * kStripRows;
  // FP32: some lines more, see transpose. A packed B wants its A without gaps.
  const std::int64_t lead = dy.dtype == DType::bf16 ? tokens : (tokens + 15) / 16 * 16 + 16;
  thread_local KeptBuffer buffer;
  for (std::int64_t first = 0; first < outputs; first += strip) {
    const std::int64_t rows = std::min(strip, outputs - first);
    const Factor turned = {buffer.get(static_cast<std::size_t>(rows * lead) * size_of(dy.dtype)), dy.dtype, lead, 1};
    dispatch_type(dy.dtype, [&](auto element) {
      using T = typename decltype(element)::type;
      transpose(dy.as<T>() + first, dy.strides[0], tokens, rows, static_cast<T*>(const_cast<void*>(turned.data)), lead);
    });
    multiply(rows, dw.shape[1], tokens, turned, as_stored(x), DType::f32,
             [&](const Tile& tile, DType) { add_tile<float>(tile, dw.slice(0, first, rows)); });
  }
}

}  // namespace coxswain
